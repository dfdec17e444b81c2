package agent

import (
	"net/netip"
	"testing"
	"time"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/gateway/plan"
	"github.com/tombolo-net/tombolo/gateway/probe"
	"github.com/tombolo-net/tombolo/gateway/wireguard"
)

// trying is a link with three endpoints, and what the kernel and the probes say of it.
type trying struct {
	candidates
	link  plan.Link
	peer  wireguard.PeerState
	state v1alpha1.LinkState
	now   time.Time
}

func newTrying() *trying {
	l := link("west", "a")
	for _, e := range []string{"192.0.2.1:1", "192.0.2.2:2", "192.0.2.3:3"} {
		l.Endpoints = append(l.Endpoints, netip.MustParseAddrPort(e))
	}
	l.Endpoint = l.Endpoints[0]
	return &trying{link: l, now: time.Unix(100, 0), state: v1alpha1.LinkConnecting}
}

// pass does what a pass does: it sends to the endpoint that is to be tried, then judges.
func (x *trying) pass() (again time.Duration) {
	if e, ok := x.endpoints()[x.link.LinkID]; ok {
		x.link.Endpoint = e
	}
	if !x.peer.Alive {
		x.peer.Endpoint = x.link.Endpoint
	}
	x.peer.PublicKey = x.link.PublicKey
	have := wireguard.State{Devices: []wireguard.DeviceState{{Name: x.link.Device, Peers: []wireguard.PeerState{x.peer}}}}
	return x.judge([]plan.Link{x.link}, have, map[string]probe.Status{"west/a": {State: x.state}}, x.now)
}

// Endpoints are tried in turn, each round for longer, until one has a session.
func TestEndpointsInTurn(t *testing.T) {
	x := newTrying()
	began := x.now
	var ports []uint16
	var times []time.Duration
	for range 40 {
		again := x.pass()
		if n := len(ports); n == 0 || ports[n-1] != x.link.Endpoint.Port() {
			ports, times = append(ports, x.link.Endpoint.Port()), append(times, x.now.Sub(began).Round(time.Second))
		}
		if again == 0 {
			t.Fatal("nothing will be tried")
		}
		x.now = x.now.Add(again)
	}
	for i, want := range []int{0, 2, 4, 6, 10, 14, 18, 26, 34, 42, 58, 74, 90, 106} {
		if ports[i] != uint16(1+i%3) || times[i] != time.Duration(want)*time.Second {
			t.Errorf("trial %d is of %d after %s, want %d after %ds", i, ports[i], times[i], 1+i%3, want)
		}
	}
}

// A session stays where it is, however long, and its endpoint is the first to be tried after it.
func TestSessionStays(t *testing.T) {
	x := newTrying()
	x.pass()
	x.peer.Alive, x.peer.Endpoint = true, x.link.Endpoints[2]
	for range 10 {
		x.now = x.now.Add(time.Minute)
		if again := x.pass(); again != 0 || x.endpoints()[x.link.LinkID].Port() != 3 {
			t.Fatalf("with a session %v is to be tried in %s", x.endpoints(), again)
		}
	}
	x.peer.Alive = false
	if again := x.pass(); again != tryFor || x.link.Endpoint.Port() != 3 {
		t.Errorf("after a session %s is tried for %s", x.link.Endpoint, again)
	}
	x.state, x.now = v1alpha1.LinkUp, x.now.Add(time.Hour)
	if again := x.pass(); again != 0 {
		t.Errorf("a link that is up is to be tried in %s", again)
	}
}

// A learned endpoint is none of the candidates, and no reason to try another one.
func TestLearnedEndpoint(t *testing.T) {
	x := newTrying()
	x.peer.Alive, x.peer.Endpoint = true, netip.MustParseAddrPort("203.0.113.9:4000")
	x.pass()
	if again := x.pass(); again != 0 || x.endpoints()[x.link.LinkID].Port() != 1 {
		t.Errorf("%v is to be tried in %s", x.endpoints(), again)
	}
}

// With one endpoint there is nothing to try.
func TestOneEndpoint(t *testing.T) {
	x := newTrying()
	x.link.Endpoints = x.link.Endpoints[:1]
	if again := x.pass(); again != 0 || len(x.endpoints()) != 0 {
		t.Errorf("%v is to be tried in %s", x.endpoints(), again)
	}
}
