package links

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"time"

	"github.com/tombolo-net/tombolo/gateway/probe"
)

// backlog is how many packets wait for a reader; more are lost.
const backlog = 64

// conn is one end of a wire in memory that loses packets, and delays the others.
type conn struct {
	local  netip.AddrPort
	loss   float64
	delay  time.Duration
	peer   *conn
	in     chan []byte
	closed chan struct{}
}

// newWire returns the two ends.
func newWire(addresses [2]netip.Addr, loss float64, delay time.Duration) (ends [2]*conn) {
	for i, a := range addresses {
		ends[i] = &conn{
			local: netip.AddrPortFrom(a, probe.Port), loss: loss, delay: delay,
			in: make(chan []byte, backlog), closed: make(chan struct{}),
		}
	}
	ends[0].peer, ends[1].peer = ends[1], ends[0]
	return ends
}

func (c *conn) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	select {
	case <-c.closed:
		return 0, netip.AddrPort{}, net.ErrClosed
	case data := <-c.in:
		return copy(b, data), c.peer.local, nil
	}
}

func (c *conn) WriteToUDPAddrPort(b []byte, _ netip.AddrPort) (int, error) {
	if rand.Float64() < c.loss {
		return len(b), nil
	}
	data := append([]byte(nil), b...)
	time.AfterFunc(c.delay, func() {
		select {
		case c.peer.in <- data:
		default:
		}
	})
	return len(b), nil
}

// Refused returns nothing: a process listens at both ends.
func (c *conn) Refused() []netip.Addr { return nil }

func (c *conn) Close() error {
	close(c.closed)
	return nil
}
