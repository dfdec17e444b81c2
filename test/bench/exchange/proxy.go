package exchange

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// proxy is a way to an API server that counts the bytes on the wire: TLS goes through it unread. It
// is safe for concurrent use.
type proxy struct {
	target   string // host:port
	listener net.Listener
	running  sync.WaitGroup
	up, down atomic.Int64 // bytes to and from the target

	mu     sync.Mutex
	closed bool                  // guarded by mu
	conns  map[net.Conn]struct{} // guarded by mu
}

// newProxy listens on a free port of the loopback until close.
func newProxy(target string) (*proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{target: target, listener: listener, conns: map[net.Conn]struct{}{}}
	p.running.Go(p.serve)
	return p, nil
}

func (p *proxy) url() string { return "https://" + p.listener.Addr().String() }

// traffic is how many bytes went to the target, and came from it, so far.
func (p *proxy) traffic() (up, down int64) { return p.up.Load(), p.down.Load() }

func (p *proxy) serve() {
	for {
		from, err := p.listener.Accept()
		if err != nil {
			return
		}
		to, err := net.Dial("tcp", p.target)
		if err != nil || !p.admit(from, to) {
			from.Close()
			continue
		}
		p.running.Go(func() { p.copy(to, from, &p.up) })
		p.running.Go(func() { p.copy(from, to, &p.down) })
	}
}

func (p *proxy) admit(pair ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range pair {
		if p.closed {
			c.Close()
			continue
		}
		p.conns[c] = struct{}{}
	}
	return !p.closed
}

func (p *proxy) copy(to, from net.Conn, count *atomic.Int64) {
	_, _ = io.Copy(counting{to, count}, from) // an error ends the connection, as does the end
	to.Close()
	from.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, from)
}

// close ends all connections, and returns when nothing runs any more.
func (p *proxy) close() {
	p.listener.Close()
	p.mu.Lock()
	p.closed = true
	for c := range p.conns {
		c.Close()
	}
	p.mu.Unlock()
	p.running.Wait()
}

// counting counts what is written.
type counting struct {
	io.Writer
	count *atomic.Int64
}

// Write writes and counts.
func (c counting) Write(data []byte) (int, error) {
	n, err := c.Writer.Write(data)
	c.count.Add(int64(n))
	return n, err
}
