//go:build integration

package testcluster

import (
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// Proxy is a way to an API server that can be cut. It is safe for concurrent use.
type Proxy struct {
	target   string // host:port
	listener net.Listener

	mu    sync.Mutex
	cut   bool                  // guarded by mu
	conns map[net.Conn]struct{} // guarded by mu
}

// NewProxy returns a proxy to the cluster's API server that runs until the test ends.
func NewProxy(t *testing.T, c *Cluster) *Proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{target: strings.TrimPrefix(c.RESTConfig().Host, "https://"), listener: listener, conns: map[net.Conn]struct{}{}}
	var running sync.WaitGroup
	running.Go(func() { p.serve(&running) })
	t.Cleanup(func() {
		listener.Close() //nolint:errcheck // the test is over
		p.Cut()
		running.Wait()
	})
	return p
}

// URL is the API server's, through the proxy.
func (p *Proxy) URL() string { return "https://" + p.listener.Addr().String() }

// Cut ends all connections, and refuses new ones until Heal.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = true
	for c := range p.conns {
		c.Close() //nolint:errcheck // that is the point
	}
}

// Heal lets connections through again.
func (p *Proxy) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = false
}

func (p *Proxy) serve(running *sync.WaitGroup) {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil || !p.admit(client, server) {
			client.Close() //nolint:errcheck // refused
			continue
		}
		running.Go(func() { p.copy(client, server) })
		running.Go(func() { p.copy(server, client) })
	}
}

// admit remembers a pair of connections, unless the way is cut.
func (p *Proxy) admit(client, server net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut {
		server.Close() //nolint:errcheck // not used
		return false
	}
	p.conns[client], p.conns[server] = struct{}{}, struct{}{}
	return true
}

func (p *Proxy) copy(to, from net.Conn) {
	_, _ = io.Copy(to, from) // an error ends the connection, as does the end
	to.Close()               //nolint:errcheck // as above
	from.Close()             //nolint:errcheck // as above
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, from)
}
