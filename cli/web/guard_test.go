package web

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/types"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/cli/web/view"
)

const (
	address = "127.0.0.1:4711"
	token   = "TOKEN"
	secret  = "secret"
)

// deepStub knows one Service.
type deepStub struct{}

func (deepStub) depth(name types.NamespacedName, _ v1alpha1.ClusterID) *view.Depth {
	if name.Name != "web" {
		return nil
	}
	d := &view.Depth{}
	d.Name = secret
	return d
}

// ask asks the server as a browser would. Headers are name and value, in turn; Host is one.
func ask(t *testing.T, method, path string, headers ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, "http://"+address+path, http.NoBody)
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
			continue
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	newServer(address, token, newBoard(), deepStub{}).handler.ServeHTTP(w, r)
	return w.Result()
}

func TestGuard(t *testing.T) {
	const service, good = "/api/service?name=shop/web", "Bearer " + token
	tests := []struct {
		name    string
		method  string
		path    string
		headers []string
		want    int
	}{
		{"the page", "GET", "/", nil, 200},
		{"a file", "GET", "/main.js", []string{"Sec-Fetch-Site", "same-origin"}, 200},
		{"with the token", "GET", service, []string{"Authorization", good}, 200},
		{"with the token, by the page", "GET", service, []string{"Authorization", good, "Origin", "http://" + address, "Sec-Fetch-Site", "same-origin"}, 200},
		{"under the name localhost", "GET", service, []string{"Authorization", good, "Host", "localhost:4711", "Origin", "http://localhost:4711"}, 200},
		{"a link of another site to the page", "GET", "/", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"}, 200},
		{"an unknown Service", "GET", "/api/service?name=shop/none", []string{"Authorization", good}, 404},
		{"no name", "GET", "/api/service", []string{"Authorization", good}, 400},
		{"an unknown file", "GET", "/none.js", nil, 404},
		{"a folder", "GET", "/page/", nil, 404},

		{"no token", "GET", service, nil, 401},
		{"another token", "GET", service, []string{"Authorization", "Bearer TOKEM"}, 401},
		{"the beginning of the token", "GET", service, []string{"Authorization", "Bearer TOK"}, 401},
		{"the token and more", "GET", service, []string{"Authorization", good + "X"}, 401},
		{"an empty token", "GET", service, []string{"Authorization", "Bearer "}, 401},
		{"the token in the address", "GET", service + "&token=" + token, nil, 401},
		{"the token in a cookie", "GET", service, []string{"Cookie", "token=" + token}, 401},
		{"the stream without token", "GET", "/api/stream", nil, 401},
		{"another spelling of the path", "GET", "//api/stream", nil, 307},

		{"a name that resolves to 127.0.0.1", "GET", service, []string{"Authorization", good, "Host", "evil.example:4711"}, 421},
		{"that name for the page itself", "GET", "/", []string{"Host", "evil.example:4711"}, 421},
		{"another port", "GET", "/", []string{"Host", "127.0.0.1:80"}, 421},
		{"no port", "GET", "/", []string{"Host", "127.0.0.1"}, 421},
		{"no Host", "GET", "/", []string{"Host", ""}, 421},
		{"another address of this host", "GET", "/", []string{"Host", "127.0.0.2:4711"}, 421},

		{"a foreign Origin", "GET", service, []string{"Authorization", good, "Origin", "https://evil.example"}, 403},
		{"the Origin of another port", "GET", service, []string{"Authorization", good, "Origin", "http://127.0.0.1:80"}, 403},
		{"an opaque Origin", "GET", service, []string{"Authorization", good, "Origin", "null"}, 403},
		{"a foreign Origin for the page", "GET", "/", []string{"Origin", "https://evil.example"}, 403},
		{"a script of another site", "GET", "/main.js", []string{"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "no-cors"}, 403},
		{"a script of another port", "GET", "/main.js", []string{"Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "no-cors"}, 403},
		{"a link of another site into the API", "GET", service, []string{"Authorization", good, "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"}, 403},

		{"POST", "POST", service, []string{"Authorization", good}, 405},
		{"PUT", "PUT", "/", nil, 405},
		{"DELETE", "DELETE", service, []string{"Authorization", good}, 405},
		{"OPTIONS of another site", "OPTIONS", service, []string{"Origin", "https://evil.example", "Access-Control-Request-Headers", "authorization"}, 405},
		{"HEAD", "HEAD", "/", nil, 405},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			answer := ask(t, tt.method, tt.path, tt.headers...)
			body, err := io.ReadAll(answer.Body)
			if err != nil {
				t.Fatal(err)
			}
			if answer.StatusCode != tt.want {
				t.Errorf("status %d, want %d: %s", answer.StatusCode, tt.want, body)
			}
			if tt.want != 200 && strings.Contains(string(body), secret) {
				t.Errorf("the answer tells %s", body)
			}
			for name, want := range map[string]string{"Content-Security-Policy": "default-src 'none'", "X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "same-origin",
				"Cross-Origin-Opener-Policy": "same-origin", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY"} {
				if got := answer.Header.Get(name); !strings.HasPrefix(got, want) {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			for name := range answer.Header {
				if strings.HasPrefix(name, "Access-Control-") || name == "Set-Cookie" {
					t.Errorf("the answer has %s", name)
				}
			}
		})
	}
}

func TestToken(t *testing.T) {
	if a, b := newToken(), newToken(); a == b || len(a) < 40 {
		t.Errorf("tokens %q and %q", a, b)
	}
}

// TestFiles has every file with its content type, and no address of elsewhere in it.
func TestFiles(t *testing.T) {
	entries, err := embedded.ReadDir("page")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		answer := ask(t, "GET", "/"+strings.TrimSuffix(e.Name(), "index.html"))
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") == "" {
			t.Errorf("%s: %s, content type %q", e.Name(), answer.Status, answer.Header.Get("Content-Type"))
		}
		text := strings.ReplaceAll(string(body), "http://www.w3.org/2000/svg", "") // a name, not an address
		for _, foreign := range []string{"http://", "https://", "innerHTML", "eval(", "@import"} {
			if strings.Contains(text, foreign) {
				t.Errorf("%s holds %q", e.Name(), foreign)
			}
		}
	}
}
