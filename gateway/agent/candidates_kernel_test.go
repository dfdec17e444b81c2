//go:build kernel

package agent

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// Both ends publish an address first that nobody has: each tries the next one, and a session that
// works is left alone.
func TestEndpointCandidates(t *testing.T) {
	wire := netns.NewWire(t)
	east, west := newTestCluster("east", 1, "10.1.0.0/16"), newTestCluster("west", 2, "10.2.0.0/18")
	east.decoys = []v1alpha1.Endpoint{{Address: "192.0.2.200", Port: 51820}}
	west.decoys = []v1alpha1.Endpoint{{Address: "192.0.2.201", Port: 51820}, {Address: "198.51.100.1", Port: 51820}}
	e, w := east.addGateway(t, wire, 0, "192.0.2.10"), west.addGateway(t, wire, 1, "192.0.2.21")
	for _, g := range []*testGateway{e, w} {
		g.start(t)
		g.giveLane(t)
	}
	begin := time.Now()
	east.learn(t, west)
	west.learn(t, east)
	w.waitLink(t, e, v1alpha1.LinkUp)
	e.waitLink(t, w, v1alpha1.LinkUp)
	t.Logf("up after %s", time.Since(begin).Round(10*time.Millisecond))
	w.ping(t, e.pod(), "-I", w.pod())
	before := w.peers(t)
	if diff := cmp.Diff([]string{"tombolo0 192.0.2.10:51821 10.1.0.0/16,245.0.16.0/20,fd5f:f9b7:58d1:1::/64"}, before); diff != "" {
		t.Errorf("west's peers (-want +got):\n%s", diff)
	}
	since := w.link(t, e).Since
	for range 10 {
		w.agent.Changed()
		time.Sleep(500 * time.Millisecond)
	}
	if diff := cmp.Diff(before, w.peers(t)); diff != "" {
		t.Errorf("west's peers (-before +after):\n%s", diff)
	}
	if l := w.link(t, e); l.State != v1alpha1.LinkUp || !l.Since.Equal(&since) {
		t.Errorf("the link is %+v, want up since %s", l, since)
	}
}
