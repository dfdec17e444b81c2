//go:build integration

package members

import (
	"crypto/tls"
	"encoding/pem"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"

	"k8s.io/client-go/rest"
)

// Gate is a way to an API server on which a test listens, and which it can close in the ways in
// which real ones close: cut, refused, answered with less than there is. It ends TLS with a
// certificate of its own. Requests pass as they are, tokens too, so that the API server knows who
// asks. It is safe for concurrent use.
type Gate struct {
	server   *httptest.Server
	listener *cuttable
	counts

	mu    sync.Mutex
	rules map[string]Rule // guarded by mu; by name
	crash *Crash          // guarded by mu
}

// Rule answers a request in the API server's place, or changes what it says, by the handler that it
// returns. next is the API server; nil: the request is none of the rule's business.
type Rule func(r Request, next http.Handler) http.Handler

// NewGate returns a gate to the cluster's API server, which runs until the test ends. It adds
// nothing to a request: it is a way to a hub. OperatorConfig makes it one to a member's own API
// server.
func NewGate(t *testing.T, c *Cluster) *Gate {
	t.Helper()
	config := rest.AnonymousClientConfig(c.RESTConfig())
	return newGate(t, config)
}

// NewOwnGate returns a gate to the member's own API server, and the configuration with which its
// operator goes that way.
func NewOwnGate(t *testing.T, c *Cluster) (*Gate, *rest.Config) {
	t.Helper()
	g := newGate(t, c.RESTConfig()) // it holds the admin's certificate; the operator is impersonated
	return g, &rest.Config{
		Host:            g.URL(),
		TLSClientConfig: rest.TLSClientConfig{CAData: g.CA()},
		Impersonate:     c.OperatorConfig().Impersonate,
	}
}

func newGate(t *testing.T, upstream *rest.Config) *Gate {
	t.Helper()
	transport, err := rest.TransportFor(upstream)
	if err != nil {
		t.Fatal(err)
	}
	target, err := url.Parse(upstream.Host)
	if err != nil {
		t.Fatal(err)
	}
	g := &Gate{rules: map[string]Rule{}}
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport:     transport,
		FlushInterval: -1, // watches stream
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) {
			panic(http.ErrAbortHandler) // who asked sees what we saw: a connection that ends
		},
	}
	g.server = httptest.NewUnstartedServer(g.handler(proxy))
	g.listener = newCuttable(g.server.Listener)
	g.server.Listener = g.listener
	g.server.EnableHTTP2 = true
	g.server.Config.ErrorLog = quiet()
	g.server.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	g.server.StartTLS()
	t.Cleanup(func() {
		g.Cut()
		g.server.Close()
	})
	return g
}

// URL is the API server's, through the gate.
func (g *Gate) URL() string { return g.server.URL }

// CA returns the certificate, PEM, by which the gate is known.
func (g *Gate) CA() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: g.server.Certificate().Raw})
}

// Access is the data of a member's hub Secret as it is for the way through the gate.
func (g *Gate) Access(direct map[string][]byte) map[string][]byte {
	data := map[string][]byte{}
	for key, value := range direct {
		data[key] = value
	}
	data["ca.crt"] = g.CA()
	return data
}

// Cut ends all connections, and accepts none until Heal.
func (g *Gate) Cut() { g.listener.cut() }

// Heal lets connections through again.
func (g *Gate) Heal() { g.listener.heal() }

// EndConnections ends those that there are; new ones are accepted.
func (g *Gate) EndConnections() {
	g.listener.cut()
	g.listener.heal()
}

// Rule sets the rule of that name, for all requests from now on; nil removes it.
func (g *Gate) Rule(name string, rule Rule) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if rule == nil {
		delete(g.rules, name)
		return
	}
	g.rules[name] = rule
}

// Under makes the gate pass nothing once the crash has come.
func (g *Gate) Under(crash *Crash) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.crash = crash
}

func (g *Gate) handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		request := parseRequest(r)
		if !g.crashing().lets(request) {
			panic(http.ErrAbortHandler)
		}
		counting := &countingWriter{ResponseWriter: w}
		defer func() { g.note(request, r.ContentLength, counting) }()
		g.ruled(request, next).ServeHTTP(counting, r)
	})
}

func (g *Gate) crashing() *Crash {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.crash
}

// ruled is next as the rules leave it.
func (g *Gate) ruled(request Request, next http.Handler) http.Handler {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, rule := range g.rules {
		if handler := rule(request, next); handler != nil {
			next = handler
		}
	}
	return next
}

// cuttable is a listener whose connections can be ended.
type cuttable struct {
	net.Listener

	mu     sync.Mutex
	closed bool                  // guarded by mu
	conns  map[net.Conn]struct{} // guarded by mu
}

func newCuttable(l net.Listener) *cuttable {
	return &cuttable{Listener: l, conns: map[net.Conn]struct{}{}}
}

// Accept implements net.Listener. While the way is cut, connections end as soon as they are made.
func (l *cuttable) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		conn.Close() // who uses it finds out
		return conn, nil
	}
	l.conns[conn] = struct{}{}
	return &cuttableConn{conn, l}, nil
}

func (l *cuttable) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for conn := range l.conns {
		conn.Close() // that is the point
	}
}

func (l *cuttable) heal() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = false
}

type cuttableConn struct {
	net.Conn
	of *cuttable
}

// Close implements net.Conn.
func (c *cuttableConn) Close() error {
	c.of.mu.Lock()
	delete(c.of.conns, c.Conn)
	c.of.mu.Unlock()
	return c.Conn.Close()
}
