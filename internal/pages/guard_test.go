package pages

import (
	"crypto/tls"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/client-go/rest"
)

// reviewer is an API server that knows the tokens "reader" and "nobody", of which the first may get
// /metrics.
type reviewer struct {
	asked atomic.Int32 // how many TokenReviews
	down  atomic.Bool
}

func (a *reviewer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if a.down.Load() {
		http.Error(w, "away", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	var answer any
	switch r.URL.Path {
	case "/apis/authentication.k8s.io/v1/tokenreviews":
		a.asked.Add(1)
		review := authenticationv1.TokenReview{}
		_ = json.NewDecoder(r.Body).Decode(&review)
		name := review.Spec.Token
		review.Status = authenticationv1.TokenReviewStatus{Authenticated: name == "reader" || name == "nobody",
			User: authenticationv1.UserInfo{Username: name, Groups: []string{"of " + name}, Extra: map[string]authenticationv1.ExtraValue{"pod": {name}}}}
		answer = review
	case "/apis/authorization.k8s.io/v1/subjectaccessreviews":
		review := authorizationv1.SubjectAccessReview{}
		_ = json.NewDecoder(r.Body).Decode(&review)
		s := review.Spec
		review.Status.Allowed = s.User == "reader" && len(s.Groups) == 1 && s.Groups[0] == "of reader" && len(s.Extra["pod"]) == 1 &&
			s.NonResourceAttributes != nil && *s.NonResourceAttributes == authorizationv1.NonResourceAttributes{Verb: "get", Path: "/metrics"}
		answer = review
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// guarded returns a guard with a clock, and an API server that it asks.
func guarded(t *testing.T, now func() time.Time) (*Guard, *reviewer) {
	t.Helper()
	api := &reviewer{}
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	g, err := NewGuard(&rest.Config{Host: server.URL, ContentConfig: rest.ContentConfig{ContentType: "application/json"}}, logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	g.now = now
	return g, api
}

// ask asks for a page as a request that came by TLS, or as one of this host.
func ask(t *testing.T, g *Guard, path, authorization string, byTLS bool) int {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody)
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	if byTLS {
		r.TLS = &tls.ConnectionState{}
	}
	w := httptest.NewRecorder()
	Pages{Metrics: prometheus.NewRegistry(), Guard: g}.Handler().ServeHTTP(w, r)
	return w.Code
}

func TestGuard(t *testing.T) {
	g, _ := guarded(t, time.Now)
	for _, tt := range []struct {
		name, path, authorization string
		byTLS                     bool
		want                      int
	}{
		{"no token", "/metrics", "", true, http.StatusUnauthorized},
		{"an empty token", "/metrics", "Bearer ", true, http.StatusUnauthorized},
		{"a password", "/metrics", "Basic cmVhZGVyOg==", true, http.StatusUnauthorized},
		{"an unknown token", "/metrics", "Bearer x", true, http.StatusUnauthorized},
		{"without the right", "/metrics", "Bearer nobody", true, http.StatusForbidden},
		{"with the right", "/metrics", "Bearer reader", true, http.StatusOK},
		{"without the right, after who has it", "/metrics", "Bearer nobody", true, http.StatusForbidden},
		{"this host", "/metrics", "", false, http.StatusOK},
		{"health", "/healthz", "", true, http.StatusOK},
		{"readiness", "/readyz", "", true, http.StatusOK},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := ask(t, g, tt.path, tt.authorization, tt.byTLS); got != tt.want {
				t.Errorf("%s with %q answers %d, want %d", tt.path, tt.authorization, got, tt.want)
			}
		})
	}
}

// TestGuardRemembers: a token that was granted is asked about once a minute. It is good for an hour
// while the API server does not answer, and no longer once the API server says no.
func TestGuardRemembers(t *testing.T) {
	now := time.Now()
	g, api := guarded(t, func() time.Time { return now })
	for _, step := range []struct {
		name  string
		after time.Duration
		down  bool
		token string
		want  int
		asked int32
	}{
		{"at first", 0, false, "reader", http.StatusOK, 1},
		{"soon again", grantedFor - time.Second, false, "reader", http.StatusOK, 1},
		{"a minute later", time.Second, false, "reader", http.StatusOK, 2},
		{"without the API server", grantedWithout - time.Second, true, "reader", http.StatusOK, 2},
		{"a stranger without the API server", 0, true, "nobody", http.StatusServiceUnavailable, 2},
		{"too long without the API server", time.Second, true, "reader", http.StatusServiceUnavailable, 2},
		{"it is back", 0, false, "reader", http.StatusOK, 3},
		{"a stranger", 0, false, "nobody", http.StatusForbidden, 4},
		{"a stranger again", 0, false, "nobody", http.StatusForbidden, 5},
	} {
		now = now.Add(step.after)
		api.down.Store(step.down)
		if got := ask(t, g, "/metrics", "Bearer "+step.token, true); got != step.want {
			t.Errorf("%s: %d, want %d", step.name, got, step.want)
		}
		if got := api.asked.Load(); got != step.asked {
			t.Errorf("%s: %d TokenReviews, want %d", step.name, got, step.asked)
		}
	}
	if len(g.granted) != 1 {
		t.Errorf("%d tokens are remembered, want 1", len(g.granted))
	}
}

// TestGuardTakesBack: a token that lost its right is refused, also if the API server goes away then.
func TestGuardTakesBack(t *testing.T) {
	now := time.Now()
	g, api := guarded(t, func() time.Time { return now })
	g.note(grantOf("nobody", "/metrics"), true)
	now = now.Add(grantedFor)
	if got := ask(t, g, "/metrics", "Bearer nobody", true); got != http.StatusForbidden {
		t.Errorf("%d, want it refused", got)
	}
	api.down.Store(true)
	if got := ask(t, g, "/metrics", "Bearer nobody", true); got != http.StatusServiceUnavailable {
		t.Errorf("%d without the API server", got)
	}
}

// TestGuardedListeners: the loopback address speaks plain HTTP, others TLS.
func TestGuardedListeners(t *testing.T) {
	g, _ := guarded(t, time.Now)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} // as a scraper does
	server := NewServer(Pages{Metrics: prometheus.NewRegistry(), Guard: g}.Handler())
	t.Cleanup(func() { server.Close() })
	for _, tt := range []struct {
		address, scheme string
		want            int
	}{{"127.0.0.1:0", "http", http.StatusOK}, {"0.0.0.0:0", "https", http.StatusUnauthorized}} {
		listener, err := Listen(t.Context(), tt.address, g)
		if err != nil {
			t.Fatal(err)
		}
		go func() { _ = server.Serve(listener) }()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, tt.scheme+"://"+listener.Addr().String()+"/metrics", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != tt.want {
			t.Errorf("%s by %s: %d, want %d", tt.address, tt.scheme, answer.StatusCode, tt.want)
		}
	}
}
