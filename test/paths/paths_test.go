package paths

import (
	"strings"
	"testing"

	"github.com/tombolo-net/tombolo/internal/kernel/vxlan"
)

// worlds is how many random worlds each test looks at.
const worlds = 1000

// forEachPair calls f with a sending and a receiving node of every two clusters.
func (w *world) forEachPair(f func(from, to *node)) {
	for _, c := range w.clusters {
		for _, d := range w.clusters {
			if c == d {
				continue
			}
			for _, from := range c.nodes {
				for _, to := range d.nodes {
					f(from, to)
				}
			}
		}
	}
}

// When all nodes see what is true, every packet arrives that can: whichever gateway a worker's flow
// goes to, and whichever link or sibling the gateway sends it by.
func TestEveryPacketArrives(t *testing.T) {
	arrived, handedOver, fresh, left := 0, 0, 0, 0
	for seed := range uint64(worlds) {
		w := newWorld(seed)
		views{w, true}.plan(t)
		w.forEachPair(func(from, to *node) {
			if from.dead || to.dead {
				return
			}
			all := w.outcomes(from, to)
			for _, bad := range []outcome{looped, leaked, guarded} {
				if way, ok := all[bad]; ok {
					t.Fatalf("world %d: a packet from %s to %s %s: %s", seed, from.name(), to.name(), bad, way)
				}
			}
			if !w.connected(from.cluster, to.cluster) {
				return
			}
			way, ok := all[delivered]
			if !ok || len(all) != 1 {
				t.Fatalf("world %d: a packet from %s to %s ends as %v", seed, from.name(), to.name(), all)
			}
			arrived++
			if from.fresh {
				fresh++
			}
			if from.leaving && strings.Contains(way, from.name()+" "+vxlan.Name+">") {
				left++
			}
			if handover(way) {
				handedOver++
			}
		})
	}
	if arrived < 1000 || handedOver < 100 || fresh < 100 || left < 100 {
		t.Errorf("%d packets arrived, %d of them handed over, %d from gateways that had just started, %d past the tunnels of their own node: "+
			"the worlds are too simple", arrived, handedOver, fresh, left)
	}
}

// Whatever the nodes take for true, each for itself, who is a gateway among it, no packet goes in a circle, none leaves in
// clear, none is handed over twice, and no node refuses it for coming by the VXLAN.
func TestNoPacketLoops(t *testing.T) {
	ends := map[outcome]int{}
	for seed := range uint64(worlds) {
		w := newWorld(seed)
		views{w, false}.plan(t)
		w.forEachPair(func(from, to *node) {
			if from.dead {
				return
			}
			for end, way := range w.outcomes(from, to) {
				ends[end]++
				if end == looped || end == leaked || end == guarded || countHandovers(way) > 1 {
					t.Fatalf("world %d: a packet from %s to %s %s: %s", seed, from.name(), to.name(), end, way)
				}
			}
		})
	}
	for _, end := range []outcome{delivered, lost} {
		if ends[end] < 1000 {
			t.Errorf("packets ended as %v: the views are too simple", ends)
		}
	}
}
