package web

import (
	"crypto/rand"
	"crypto/subtle"
	"net"
	"net/http"
	"strings"
)

// newToken returns one that nobody guesses.
func newToken() string { return rand.Text() + rand.Text() }

// policy is what a browser may load for the page: what this server serves, and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// guard lets through what the page itself asks for. A web site that the user visits can make the
// browser send requests here, too: under a name of its own that it lets resolve to 127.0.0.1 (then Host
// is wrong), or from its own pages (then Origin or Sec-Fetch-Site is). It can neither read the token
// nor send it.
type guard struct {
	hosts map[string]bool
	token string
	next  http.Handler
}

// newGuard guards a handler that is served at the address.
func newGuard(address, token string, next http.Handler) guard {
	_, port, err := net.SplitHostPort(address)
	hosts := map[string]bool{address: true}
	if err == nil {
		hosts["localhost:"+port] = true
	}
	return guard{hosts: hosts, token: token, next: next}
}

// ServeHTTP implements http.Handler.
func (g guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	switch {
	case !g.hosts[r.Host]:
		http.Error(w, "this page has another address", http.StatusMisdirectedRequest)
	case r.Method != http.MethodGet:
		h.Set("Allow", http.MethodGet)
		http.Error(w, "the page only reads", http.StatusMethodNotAllowed)
	case !g.own(r):
		http.Error(w, "another site asks for this page", http.StatusForbidden)
	case strings.HasPrefix(r.URL.Path, apiPath) && !g.knows(r):
		http.Error(w, "the token is missing or wrong: open the address that kubectl tombolo web has printed", http.StatusUnauthorized)
	default:
		g.next.ServeHTTP(w, r)
	}
}

// own tells whether the page itself asks, or the user by the address bar. What a browser does not say
// does not count: the token decides.
func (g guard) own(r *http.Request) bool {
	if origin := r.Header.Get("Origin"); origin != "" && origin != "http://"+r.Host {
		return false
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "none", "same-origin":
		return true
	}
	// A link of another site may lead to the page itself, as one in a terminal on the web does.
	return r.URL.Path == "/" && r.Header.Get("Sec-Fetch-Mode") == "navigate"
}

// knows tells whether the request has the token. Browsers send this header for no other site, unlike a
// cookie, which all ports of this host would share.
func (g guard) knows(r *http.Request) bool {
	given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return ok && subtle.ConstantTimeCompare([]byte(given), []byte(g.token)) == 1
}
