package hub

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/connrotation"
)

// dialTimeout is how long making a connection to the hub may take.
const dialTimeout = 5 * time.Second

// transport is one HTTP client of the hub. Its connections can be closed when they may be dead.
type transport struct {
	config *rest.Config
	http   *http.Client
	dialer *connrotation.Dialer
	last   *atomic.Int64 // when the hub last sent something, in ns since 1970
	remote *atomic.Value // where the last connection leads to, a netip.Addr
	token  *atomic.Value // a string: what requests carry
}

// use makes the token go with all requests from now on, and tells whether it is another one than
// before. Watches that are open stay open.
func (t *transport) use(token string) bool {
	before, _ := t.token.Swap(token).(string)
	return before != token
}

// bearer adds the token that is in use to each request.
type bearer struct {
	next  http.RoundTripper
	token *atomic.Value
}

// RoundTrip implements http.RoundTripper, which must not change the request that it is given.
func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	if token, _ := b.token.Load().(string); token != "" {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+token)
	}
	return b.next.RoundTrip(r)
}

// heardSince tells whether the hub has sent anything at all since then, over any connection. Half
// an answer counts, too.
func (t *transport) heardSince(then time.Time) bool { return t.last.Load() > then.UnixNano() }

// timedConn is a connection that notes when something arrives.
type timedConn struct {
	net.Conn
	last *atomic.Int64
}

// Read reads from the connection and notes the time.
func (c timedConn) Read(into []byte) (int, error) {
	n, err := c.Conn.Read(into)
	if n > 0 {
		c.last.Store(time.Now().UnixNano())
	}
	return n, err
}

// newTransport prepares a transport. It calls redialed whenever it makes a connection in place of
// an earlier one: the watches on the earlier one have ended, and nobody else says so.
func newTransport(a access, redialed func()) (*transport, error) {
	var before atomic.Bool
	last, token, remote := &atomic.Int64{}, &atomic.Value{}, &atomic.Value{}
	plain := &net.Dialer{Timeout: dialTimeout, KeepAlive: 10 * time.Second}
	dialer := connrotation.NewDialer(func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := plain.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		if at, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
			remote.Store(at.AddrPort().Addr().Unmap())
		}
		if before.Swap(true) {
			redialed()
		}
		return timedConn{conn, last}, nil
	})
	config := &rest.Config{
		Host:            a.server,
		TLSClientConfig: rest.TLSClientConfig{CAData: []byte(a.ca)},
		Dial:            dialer.DialContext,
		QPS:             -1, // the hub's own priority and fairness limits us
		UserAgent:       "tombolo-operator",
		WrapTransport:   func(next http.RoundTripper) http.RoundTripper { return bearer{next, token} },
	}
	httpClient, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("preparing the connection with hub %s: %w", a.server, err)
	}
	return &transport{config: config, http: httpClient, dialer: dialer, last: last, token: token, remote: remote}, nil
}
