package probe

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/crypto/curve25519"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// network joins sockets in memory. Safe for concurrent use.
type network struct {
	delay time.Duration

	mu    sync.Mutex
	conns map[netip.Addr]*memoryConn
	// cut addresses neither send nor receive.
	cut map[netip.Addr]bool
	// oneWay addresses receive, and what they send is lost.
	oneWay map[netip.Addr]bool
	// stuck addresses send four intervals late.
	stuck map[netip.Addr]bool
	// away addresses refuse what they are sent, and send nothing.
	away map[netip.Addr]bool
}

type datagram struct {
	data []byte
	from netip.AddrPort
}

type memoryConn struct {
	network *network
	local   netip.AddrPort
	in      chan datagram
	closed  chan struct{}
	refused []netip.Addr
}

func newNetwork(delay time.Duration) *network {
	return &network{
		delay: delay, conns: map[netip.Addr]*memoryConn{}, cut: map[netip.Addr]bool{}, oneWay: map[netip.Addr]bool{}, stuck: map[netip.Addr]bool{}, away: map[netip.Addr]bool{},
	}
}

func (n *network) listen(addr netip.Addr) *memoryConn {
	n.mu.Lock()
	defer n.mu.Unlock()
	c := &memoryConn{network: n, local: netip.AddrPortFrom(addr, Port), in: make(chan datagram, 64), closed: make(chan struct{})}
	n.conns[addr] = c
	return c
}

func (n *network) set(what map[netip.Addr]bool, addr netip.Addr, value bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	what[addr] = value
}

func (c *memoryConn) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	select {
	case <-c.closed:
		return 0, netip.AddrPort{}, net.ErrClosed
	case d := <-c.in:
		return copy(b, d.data), d.from, nil
	}
}

func (c *memoryConn) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	n := c.network
	n.mu.Lock()
	if stuck := n.stuck[c.local.Addr()]; stuck {
		n.mu.Unlock()
		time.Sleep(4 * Interval)
		n.mu.Lock()
	}
	defer n.mu.Unlock()
	peer := n.conns[to.Addr()]
	switch {
	case n.cut[to.Addr()] || n.cut[c.local.Addr()] || n.oneWay[c.local.Addr()] || n.away[c.local.Addr()] || peer == nil:
	case n.away[to.Addr()]:
		c.refused = append(c.refused, to.Addr())
	default:
		d := datagram{append([]byte(nil), b...), c.local}
		time.AfterFunc(n.delay, func() {
			select {
			case peer.in <- d:
			default:
			}
		})
	}
	return len(b), nil
}

func (c *memoryConn) Refused() []netip.Addr {
	c.network.mu.Lock()
	defer c.network.mu.Unlock()
	refused := c.refused
	c.refused = nil
	return refused
}

func (c *memoryConn) Close() error {
	close(c.closed)
	return nil
}

// end is one of the two gateways of a test.
type end struct {
	prober  *Prober
	changes int
	mu      sync.Mutex
}

var (
	eastAddr = netip.MustParseAddr("245.0.16.0")
	westAddr = netip.MustParseAddr("245.0.32.1")
)

func key(b byte) (private, public [32]byte) {
	private[1] = b
	p, err := curve25519.X25519(private[:], curve25519.Basepoint)
	if err != nil {
		panic(err)
	}
	copy(public[:], p)
	return private, public
}

func (n *network) newEnd(t *testing.T, own, peer byte, ownAddr, peerAddr netip.Addr, inUse bool) *end {
	t.Helper()
	private, _ := key(own)
	_, public := key(peer)
	e := &end{}
	e.prober = New(Config{PrivateKey: private, Conn: n.listen(ownAddr), OnChange: func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.changes++
	}})
	if err := e.prober.SetPeers([]Peer{{Name: "peer", Address: peerAddr, PublicKey: public, InUse: inUse}}); err != nil {
		t.Fatal(err)
	}
	return e
}

// run runs the ends in a bubble while f looks at them.
func run(t *testing.T, f func(), ends ...*end) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	for _, e := range ends {
		running.Go(func() {
			if err := e.prober.Run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	f()
	cancel()
	running.Wait()
	time.Sleep(time.Second) // what is still on its way arrives inside the bubble
}

func (e *end) status() Status { return e.prober.Statuses()["peer"] }

func (e *end) state() v1alpha1.LinkState { return e.status().State }

func (e *end) want(t *testing.T, when string, want v1alpha1.LinkState) {
	t.Helper()
	synctest.Wait()
	if got := e.state(); got != want {
		t.Errorf("%s the link is %s, want %s", when, got, want)
	}
}

func TestUpDownUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(40 * time.Millisecond)
		east, west := n.newEnd(t, 1, 2, eastAddr, westAddr, false), n.newEnd(t, 2, 1, westAddr, eastAddr, false)
		run(t, func() {
			east.want(t, "at first", v1alpha1.LinkConnecting)
			time.Sleep(100 * time.Millisecond)
			east.want(t, "after one round trip", v1alpha1.LinkUp)
			if rtt := east.prober.Statuses()["peer"].RTT; rtt != 80*time.Millisecond {
				t.Errorf("RTT is %s, want 80ms", rtt)
			}
			time.Sleep(2 * calm)
			n.set(n.cut, westAddr, true)
			time.Sleep(2 * Interval)
			east.want(t, "after two lost probes", v1alpha1.LinkUp)
			time.Sleep(2 * Interval)
			east.want(t, "after three", v1alpha1.LinkDown)
			n.set(n.cut, westAddr, false)
			time.Sleep(3 * Interval)
			east.want(t, "after an answer", v1alpha1.LinkUp)
			if east.changes != 3 {
				t.Errorf("%d changes told, want 3", east.changes)
			}
			if got := east.status(); got.Downs != 1 || got.Late != 0 {
				t.Errorf("down %d times, late %d times, want 1 and 0", got.Downs, got.Late)
			}
			time.Sleep(recentWindow)
			if got := east.status(); got.Downs != 0 {
				t.Errorf("down %d times in the last ten minutes, want 0", got.Downs)
			}
		}, east, west)
	})
}

// A process that does not get to run in time says so.
func TestLateProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(time.Millisecond)
		east, west := n.newEnd(t, 1, 2, eastAddr, westAddr, false), n.newEnd(t, 2, 1, westAddr, eastAddr, false)
		run(t, func() {
			time.Sleep(time.Second)
			for range 3 {
				n.set(n.stuck, eastAddr, true)
				time.Sleep(Interval + time.Millisecond)
				n.set(n.stuck, eastAddr, false)
				time.Sleep(10 * time.Second)
			}
			if got := east.status(); got.Late != 3 {
				t.Errorf("late %d times, want 3", got.Late)
			}
			if got := west.status().Late; got != 0 {
				t.Errorf("the other end was late %d times", got)
			}
			time.Sleep(recentWindow)
			if got := east.status().Late; got != 0 {
				t.Errorf("late %d times in the last ten minutes, want 0", got)
			}
		}, east, west)
	})
}

// A round trip of more than an interval is no loss.
func TestSlowLink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(400 * time.Millisecond)
		east, west := n.newEnd(t, 1, 2, eastAddr, westAddr, false), n.newEnd(t, 2, 1, westAddr, eastAddr, false)
		run(t, func() {
			time.Sleep(10 * time.Second)
			east.want(t, "with a round trip of 800 ms", v1alpha1.LinkUp)
			if east.changes != 1 {
				t.Errorf("%d changes told, want 1", east.changes)
			}
		}, east, west)
	})
}

// A link that flaps has to answer longer every time, while another link of its group is up.
func TestFlapping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(time.Millisecond)
		east, west := n.newEnd(t, 1, 2, eastAddr, westAddr, false), n.newEnd(t, 2, 1, westAddr, eastAddr, false)
		sibling := netip.MustParseAddr("245.0.32.5")
		west5 := n.newEnd(t, 5, 1, sibling, eastAddr, false)
		_, public2 := key(2)
		_, public5 := key(5)
		if err := east.prober.SetPeers([]Peer{
			{Name: "peer", Group: "west", Address: westAddr, PublicKey: public2},
			{Name: "sibling", Group: "west", Address: sibling, PublicKey: public5},
		}); err != nil {
			t.Fatal(err)
		}
		run(t, func() {
			time.Sleep(time.Second)
			var recoveries []time.Duration
			flap := func() {
				n.set(n.cut, westAddr, true)
				time.Sleep(2 * time.Second)
				east.want(t, "cut", v1alpha1.LinkDown)
				n.set(n.cut, westAddr, false)
				healed := time.Now()
				for east.state() != v1alpha1.LinkUp {
					time.Sleep(Interval)
				}
				recoveries = append(recoveries, time.Since(healed).Round(time.Second))
				time.Sleep(time.Second)
			}
			for range 4 {
				flap()
			}
			n.set(n.cut, sibling, true)
			flap()
			want := []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 7 * time.Second, 0}
			if diff := cmp.Diff(want, recoveries); diff != "" {
				t.Errorf("recoveries (-want +got):\n%s", diff)
			}
		}, east, west, west5)
	})
}

// A link that was in use before the prober started is up until probes tell otherwise.
func TestInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(time.Millisecond)
		east := n.newEnd(t, 1, 2, eastAddr, westAddr, true)
		run(t, func() {
			east.want(t, "in use", v1alpha1.LinkUp)
			time.Sleep(firstAnswer + 3*Interval)
			east.want(t, "in use, without an answer", v1alpha1.LinkDown)
		}, east)
	})
}

// While the other agent is away its kernel refuses probes: the link stays up, for a time.
func TestAgentAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(time.Millisecond)
		east, west := n.newEnd(t, 1, 2, eastAddr, westAddr, false), n.newEnd(t, 2, 1, westAddr, eastAddr, false)
		run(t, func() {
			time.Sleep(time.Second)
			n.set(n.away, westAddr, true)
			time.Sleep(awayMost - Interval)
			east.want(t, "while the agent starts anew", v1alpha1.LinkUp)
			time.Sleep(2 * time.Second)
			east.want(t, "when it does not come back", v1alpha1.LinkDown)
			n.set(n.away, westAddr, false)
			time.Sleep(3 * time.Second)
			east.want(t, "when it is back", v1alpha1.LinkUp)
			n.set(n.away, westAddr, true)
			time.Sleep(3 * time.Second)
			n.set(n.cut, westAddr, true)
			time.Sleep(3 * time.Second)
			east.want(t, "cut while the agent is away", v1alpha1.LinkDown)
		}, east, west)
	})
}

// A fault in one direction is seen by both ends, and each says what it knows of it.
func TestOneWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(time.Millisecond)
		east, west := n.newEnd(t, 1, 2, eastAddr, westAddr, false), n.newEnd(t, 2, 1, westAddr, eastAddr, false)
		run(t, func() {
			time.Sleep(time.Second)
			n.set(n.oneWay, eastAddr, true)
			time.Sleep(600 * time.Millisecond)
			east.want(t, "when what it sends is lost", v1alpha1.LinkDown)
			west.want(t, "when it hears nothing", v1alpha1.LinkDown)
			time.Sleep(time.Second)
			if s := east.status(); !s.Heard || !s.PeerSaysDown {
				t.Errorf("who is not heard knows %+v", s)
			}
			if s := west.status(); s.Heard || s.PeerSaysDown {
				t.Errorf("who hears nothing knows %+v", s)
			}
			n.set(n.oneWay, eastAddr, false)
			time.Sleep(4 * Interval)
			east.want(t, "healed", v1alpha1.LinkUp)
			west.want(t, "healed", v1alpha1.LinkUp)
		}, east, west)
	})
}

// What this end says of itself arrives at once. It is not forgotten when this end goes.
func TestSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(time.Millisecond)
		east, west := n.newEnd(t, 1, 2, eastAddr, westAddr, false), n.newEnd(t, 2, 1, westAddr, eastAddr, false)
		_, public := key(2)
		sibling := Peer{Name: "peer", Address: westAddr, PublicKey: public, Sibling: true}
		if err := east.prober.SetPeers([]Peer{sibling}); err != nil {
			t.Fatal(err)
		}
		_, public1 := key(1)
		if err := west.prober.SetPeers([]Peer{{Name: "peer", Address: eastAddr, PublicKey: public1, Sibling: true}}); err != nil {
			t.Fatal(err)
		}
		run(t, func() {
			time.Sleep(time.Second + 10*time.Millisecond)
			changes := east.changes
			var reached Members
			reached.Add(7)
			west.prober.SetDraining(true)
			west.prober.SetReached(reached)
			time.Sleep(10 * time.Millisecond)
			if s := east.status(); !s.Draining || s.Reached != reached || s.State != v1alpha1.LinkUp {
				t.Errorf("east knows %+v", s)
			}
			if east.changes == changes {
				t.Error("east was not told of a change")
			}
			n.set(n.away, westAddr, true)
			time.Sleep(10 * time.Second)
			if s := east.status(); !s.Draining || s.State != v1alpha1.LinkUp {
				t.Errorf("when the agent is away, east knows %+v", s)
			}
			n.set(n.away, westAddr, false)
			west.prober.SetDraining(false)
			time.Sleep(10 * time.Millisecond)
			if s := east.status(); s.Draining {
				t.Error("east takes it for draining for ever")
			}
			if got := west.status(); got.Draining || got.Reached != (Members{}) {
				t.Errorf("west takes what it said for what it was told: %+v", got)
			}
		}, east, west)
	})
}

// Announcements do not count as probes: however many go unanswered, no link goes down for it.
func TestAnnouncementsDoNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(time.Millisecond)
		east, west := n.newEnd(t, 1, 2, eastAddr, westAddr, false), n.newEnd(t, 2, 1, westAddr, eastAddr, false)
		run(t, func() {
			time.Sleep(time.Second + 10*time.Millisecond)
			n.set(n.cut, westAddr, true)
			for i := range 20 {
				east.prober.SetDraining(i%2 == 0)
				time.Sleep(time.Millisecond)
			}
			n.set(n.cut, westAddr, false)
			time.Sleep(time.Second)
			if s := east.status(); east.changes != 1 || s.Sent-s.Answered > 1 {
				t.Errorf("%d changes, %+v", east.changes, s)
			}
		}, east, west)
	})
}

// Who does not have the peer's key cannot bring a link up.
func TestForeignKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(time.Millisecond)
		east, impostor := n.newEnd(t, 1, 2, eastAddr, westAddr, false), n.newEnd(t, 3, 1, westAddr, eastAddr, false)
		run(t, func() {
			time.Sleep(5 * time.Second)
			east.want(t, "with an impostor", v1alpha1.LinkConnecting)
			impostor.want(t, "of an impostor", v1alpha1.LinkConnecting)
		}, east, impostor)
	})
}

// Peers that stay keep their state, those that change lose it, and those that go are not asked
// about.
func TestSetPeers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(time.Millisecond)
		east, west := n.newEnd(t, 1, 2, eastAddr, westAddr, false), n.newEnd(t, 2, 1, westAddr, eastAddr, false)
		_, public := key(2)
		_, other := key(3)
		run(t, func() {
			time.Sleep(time.Second)
			same := Peer{Name: "peer", Address: westAddr, PublicKey: public}
			if err := east.prober.SetPeers([]Peer{same}); err != nil {
				t.Error(err)
			}
			east.want(t, "with the same peer", v1alpha1.LinkUp)
			if err := east.prober.SetPeers([]Peer{{Name: "peer", Address: westAddr, PublicKey: other}}); err != nil {
				t.Error(err)
			}
			east.want(t, "with another key", v1alpha1.LinkConnecting)
			if err := east.prober.SetPeers([]Peer{{Name: "zero", Address: westAddr}, same}); err == nil {
				t.Error("a key of zeros is no error")
			}
			if got := len(east.prober.Statuses()); got != 1 {
				t.Errorf("%d links, want the one that can be probed", got)
			}
		}, east, west)
	})
}
