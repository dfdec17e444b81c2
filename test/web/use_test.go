//go:build integration

package web

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/test/harness/apiserver"
)

func (p *tab) press(keys ...string) {
	p.Helper()
	for _, key := range keys {
		p.do(chromedp.KeyEvent(key))
	}
}

// TestKeyboard goes to a Service, and asks what if, without a mouse.
func TestKeyboard(t *testing.T) {
	p := open(t, serve(t, kubeconfig(t, small(t)), "east,west,north"), looks[2])
	p.says(".sum", "3 clusters")
	p.press(kb.Tab)
	if got := eval[string](p, "document.activeElement.className"); got != "skip" {
		t.Errorf("the first stop is %q", got)
	}
	p.press(kb.Tab, kb.Tab, kb.Enter)
	p.says("h2", "Services")
	p.says(".sum", "2 Services")
	p.run("document.querySelector('.rows').focus()")
	p.press(kb.ArrowDown, kb.End)
	if got := eval[string](p, "document.activeElement.innerText"); got != "shop/web" {
		t.Errorf("the focus is at %q", got)
	}
	p.press(kb.Enter)
	p.says("h2", "shop/web")
	p.says("main", "From cluster west")
	p.run("document.querySelector('#down').focus()")
	p.press(kb.ArrowDown)
	p.says("main", "If cluster east goes")
	p.until("document.activeElement.id === 'down'")
	// Whoever reads on keeps the place when something changes.
	p.run("document.querySelector('summary').focus()")
	p.press(kb.Enter)
	p.says("details[open]", "levels before its own carry the flows")
}

// TestPictureByKeyboard reaches every cluster and link of the picture.
func TestPictureByKeyboard(t *testing.T) {
	p := open(t, serve(t, kubeconfig(t, small(t)), "east,west,north"), looks[2])
	p.says(".sum", "3 clusters")
	p.until("document.querySelectorAll('.picture a[href]').length === 6")
	p.run("document.querySelector('.picture a').focus()")
	p.press(kb.Enter)
	p.says(".detail h3", "east – north")
	p.until("document.activeElement.matches('.picture a')")
}

// TestOtherSites has pages of other sites try to read the page, with the token even: none can.
func TestOtherSites(t *testing.T) {
	address := serve(t, kubeconfig(t, map[string]*apiserver.Server{"east": newServer(t, member("east", 1)...)}), "east")
	page, token, _ := strings.Cut(address, "#token=")
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<!doctype html><title>another site</title>")
	}))
	t.Cleanup(other.Close)
	evil := strings.Replace(page, "127.0.0.1", "evil.example", 1)
	for _, from := range []string{other.URL, evil} { // a page of another port, and one under a name that resolves to this host
		ctx, end := chromedp.NewContext(browser)
		if err := chromedp.Do(ctx); err != nil {
			t.Fatal(err)
		}
		p := &tab{T: t, ctx: ctx}
		p.do(chromedp.Navigate(from))
		for name, attempt := range map[string]string{
			"fetch":               fmt.Sprintf("fetch(%q).then((a) => a.text())", page+"api/service?name=a/b"),
			"fetch with token":    fmt.Sprintf("fetch(%q, {headers: {Authorization: %q}}).then((a) => a.text())", page+"api/service?name=a/b", "Bearer "+token),
			"fetch without cors":  fmt.Sprintf("fetch(%q, {mode: 'no-cors'}).then((a) => a.text())", page+"api/stream"),
			"its own name":        fmt.Sprintf("fetch('/api/service?name=a/b', {headers: {Authorization: %q}}).then((a) => a.text())", "Bearer "+token),
			"a script":            fmt.Sprintf("new Promise((yes, no) => { const s = document.createElement('script'); s.src = %q; s.onload = () => yes('loaded'); s.onerror = no; document.head.append(s); })", page+"words.js"),
			"an opened window":    fmt.Sprintf("new Promise((yes) => { const w = open(%q); setTimeout(() => { try { yes(w.document.body.innerText); } catch (e) { yes(''); } }, 500); })", page),
			"a frame":             fmt.Sprintf("new Promise((yes) => { const f = document.createElement('iframe'); f.src = %q; f.onload = () => { try { yes(f.contentDocument.body.innerText); } catch (e) { yes(''); } }; document.body.append(f); })", page),
			"the stream as event": fmt.Sprintf("new Promise((yes, no) => { const e = new EventSource(%q); e.onmessage = (m) => yes(m.data); e.onerror = no; })", page+"api/stream"),
		} {
			got := eval[string](p, "("+attempt+").then((said) => String(said ?? ''), () => '')")
			if strings.Contains(got, "cluster") || got == "loaded" {
				t.Errorf("from %s, %s: read %q", from, name, got)
			}
		}
		end()
	}
	p := open(t, page, looks[2])
	p.says("main", "This tab has no valid token")
}

// TestAway shows what is known on when an API server goes away, and says that it is old.
func TestAway(t *testing.T) {
	servers := small(t)
	listening := httptest.NewServer(servers["east"])
	file := kubeconfig(t, servers)
	replaceServer(t, file, "east", listening.URL)
	p := open(t, serve(t, file, "east,west"), looks[2])
	p.says(".sum", "3 clusters", "0 errors")
	listening.CloseClientConnections()
	listening.Close()
	p.says(".sum", "1 error")
	p.visit("#/problems")
	p.says(".rows", "Cluster east")
	p.visit("#/cluster/east")
	p.says(".detail", "error", "east-1")
	p.visit("#/clusters")
	listenAt(t, servers["east"], listening.Listener.Addr().String())
	p.says(".sum", "0 errors")
	if err := servers["east"].Put(remote("east", "west", 2, v1alpha1.LinkDown)); err != nil {
		t.Fatal(err)
	}
	p.says(".list.pairs", "down")
}

// listenAt serves at that address, once it is free.
func listenAt(t *testing.T, handler http.Handler, address string) {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	s := &httptest.Server{Listener: listener, Config: &http.Server{Handler: handler}}
	s.Start()
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
}
