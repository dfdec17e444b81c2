//go:build kernel

package agent

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/tombolo-net/tombolo/internal/kernel/firewall"
	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// guarded returns an error if the gateway has no nftables table that leaves transit untracked.
func (g *testGateway) guarded() error {
	out, err := g.ns.Try("nft", "list", "table", "inet", firewall.GatewayTable)
	if err == nil && !strings.Contains(out, `iifname "tombolo*" fib daddr oifname "tombolo*" notrack`) {
		err = errors.New("it tracks what passes")
	}
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// TestGuard: the table is there before the tunnels are, is made again when somebody flushes all
// tables, stays when the agent ends, and goes with the cleanup.
func TestGuard(t *testing.T) {
	c := startClusters(t)
	for _, g := range c.all() {
		if err := g.guarded(); err != nil {
			t.Errorf("%s: %v", g.name, err)
		}
	}
	g := c.west1
	g.ns.Run("nft", "add table inet other")
	g.ns.Run("nft", "flush ruleset")
	waitFor(t, "the table again", g.guarded)
	g.stop()
	if err := g.guarded(); err != nil {
		t.Errorf("after the agent's end: %v", err)
	}
	g.ns.Run("nft", "add table inet other")
	if err := Cleanup(t.Context(), kernelOf(g.ns), g.key); err != nil {
		t.Fatal(err)
	}
	if tables := g.ns.Run("nft", "list", "tables"); tables != "table inet other\n" {
		t.Errorf("after the cleanup: %q", tables)
	}
}

// TestTablesShare: a write to one of the gateway's tables is no reason to look whether somebody has
// changed the other one; a stranger's is.
func TestTablesShare(t *testing.T) {
	node := netns.New(t)
	node.Do(func() {
		kernel := NewKernel()
		tables := []table{kernel.Table, kernel.Ingress}
		sync := func(i int, rules ...string) {
			t.Helper()
			chain := firewall.Chain{Name: "some", Type: "filter", Hook: "forward", Rules: rules}
			if _, err := tables[i].Sync(t.Context(), firewall.Config{Chains: []firewall.Chain{chain}}); err != nil {
				t.Fatal(err)
			}
		}
		touched := func(i int) bool { return tables[i].(interface{ Touched() bool }).Touched() }
		sync(0, "udp dport 1 accept")
		sync(1, "udp dport 2 accept")
		sync(0, "udp dport 3 accept")
		for i := range tables {
			if touched(i) {
				t.Errorf("table %d takes the other's writes for a stranger's", i)
			}
		}
		node.Run("nft", "add table inet other")
		for i := range tables {
			if !touched(i) {
				t.Errorf("table %d does not see a stranger's write", i)
			}
		}
	})
}
