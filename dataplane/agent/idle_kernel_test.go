//go:build kernel

package agent

import (
	"fmt"
	"testing"
	"time"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/node"
)

// TestIdle: a pass that finds nothing to do allocates nothing, but what asking for the generation
// of nftables takes where nftables serves.
func TestIdle(t *testing.T) {
	for _, tt := range []struct {
		by   v1alpha1.DataplaneBackend
		want float64
	}{{v1alpha1.BackendIPVS, 0}, {v1alpha1.BackendNFTables, 3}} {
		t.Run(string(tt.by), func(t *testing.T) {
			worker, _, _, _ := newWorker(t)
			f := newFixture(t, worker, remote("east", "10.1.0.0/16"))
			set := clusterSet()
			set.Spec.Dataplane.Backend = tt.by
			f.applyStatus(set)
			for i := range 100 { // so many that IPVS does not compare all of them each time
				name := fmt.Sprintf("web%d", i)
				f.apply(imported(name, fmt.Sprintf("244.0.0.%d", i+1), web80))
				f.apply(slice(name, "east", 8080, "10.1.0.5"))
			}
			f.pass(node.Marked)
			f.pass(node.Ticked)
			f.node.Do(func() {
				idle := func() { _ = f.agent.pass(t.Context(), time.Now(), node.Ticked) }
				if n := testing.AllocsPerRun(100, idle); n > tt.want {
					t.Errorf("%v allocations in an idle pass, want %v", n, tt.want)
				}
			})
		})
	}
}

// TestOwnWrites: what the agent itself writes to one table is no reason to compare the others.
func TestOwnWrites(t *testing.T) {
	worker, _, _, _ := newWorker(t)
	f := newFixture(t, worker, remote("east", "10.1.0.0/16"))
	set := clusterSet()
	set.Spec.Dataplane.Backend = v1alpha1.BackendNFTables
	f.applyStatus(set)
	f.apply(imported("web", "244.0.0.1", web80))
	f.apply(slice("web", "east", 8080, "10.1.0.5"))
	f.pass(node.Marked)
	f.pass(node.Ticked)
	f.apply(slice("web", "east", 8080, "10.1.0.6"))
	f.pass(node.Marked)
	f.node.Do(func() {
		if f.agent.filter.table.Touched() || f.agent.firewall.table.Touched() || f.agent.services.backend.Touched(t.Context(), time.Now()) {
			t.Error("a table counts as touched after a write to another one")
		}
	})
	f.node.Run("nft", "add", "table", "inet", "strange")
	f.node.Do(func() {
		if !f.agent.filter.table.Touched() || !f.agent.firewall.table.Touched() {
			t.Error("a write of another program does not count")
		}
	})
}
