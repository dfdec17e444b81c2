//go:build kernel

package agent

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/node"
	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// vipRoutes are the VIP CIDRs that the kernel leads to the node.
func vipRoutes(n *netns.Namespace) string {
	var all []string
	for line := range strings.Lines(n.Run("ip", "route", "show", "table", "local", "proto", "148")) {
		all = append(all, strings.Fields(line)[1])
	}
	return strings.Join(all, " ")
}

// TestNoVIPBeforeTheFilter: the node's own listeners answer on no clusterset IP, while there is no nft
// when the agent starts, nor when somebody takes the table away.
func TestNoVIPBeforeTheFilter(t *testing.T) {
	worker, pod, gatewayNet, _ := newWorker(t)
	worker.Serve("kubelet", 10250)
	f := newFixture(t, worker, nodeObject("gateway", "192.0.2.2", "10.2.0.0/24"), gatewayNode("gateway", "192.0.2.2", 3),
		remote("east", "10.1.0.0/16"), imported("web", "244.0.0.7", web80), slice("web", "east", 8080, "10.1.0.5"))
	f.on("gateway", gatewayNet).pass(node.Marked)
	path, empty := os.Getenv("PATH"), t.TempDir()
	passWithoutNFT := func(cause node.Cause) {
		t.Helper()
		t.Setenv("PATH", empty)
		f.pass(cause)
		t.Setenv("PATH", path)
	}
	closed := func(when string) {
		t.Helper()
		if answer, err := pod.Ask("tcp", "244.0.0.7:10250"); err == nil {
			t.Errorf("%s: %q answers on a clusterset IP", when, answer)
		}
		if got := vipRoutes(worker); got != "" {
			t.Errorf("%s: VIP routes %s", when, got)
		}
		if got := f.condition(); !strings.HasPrefix(got, "False ProgramMissing") {
			t.Errorf("%s: condition %q", when, got)
		}
		if rules := worker.Run("ip", "rule"); !strings.Contains(rules, "7474:") {
			t.Errorf("%s: other routes wait, too: %s", when, rules)
		}
	}
	open := func(when string) {
		t.Helper()
		for deadline := time.Now().Add(limit); time.Now().Before(deadline) && !strings.HasPrefix(f.condition(), "True"); time.Sleep(100 * time.Millisecond) {
			f.pass(node.Ticked)
		}
		if answer, err := pod.Ask("tcp", "244.0.0.7:80"); err != nil || answer != "away 10.2.1.5" {
			t.Errorf("%s: %q, %v, condition %s", when, answer, err, f.condition())
		}
		if answer, err := pod.Ask("tcp", "244.0.0.7:10250"); err == nil {
			t.Errorf("%s: %q answers on a clusterset IP", when, answer)
		}
	}
	passWithoutNFT(node.Marked)
	closed("at first")
	open("with nft")
	f.quiet()

	f.restart()
	worker.Run("nft", "flush", "ruleset")
	passWithoutNFT(node.Marked)
	closed("after a restart, without the table")
	open("with nft again")

	f.restart()
	passWithoutNFT(node.Marked)
	if got := vipRoutes(worker); got != "244.0.0.0/16" {
		t.Errorf("an agent without nft took the routes of its predecessor, whose table still guards: %q", got)
	}
	open("with nft once more")
}

// TestFilterGoesAfterTheRoutes: while a route leads a VIP CIDR to the node, the filter guards it.
func TestFilterGoesAfterTheRoutes(t *testing.T) {
	worker, pod, _, _ := newWorker(t)
	worker.Serve("kubelet", 10250)
	f := newFixture(t, worker)
	f.pass(node.Marked)
	step := func(p part) {
		t.Helper()
		worker.Do(func() {
			if p.due(t.Context(), time.Now(), node.Marked) {
				if _, err := p.sync(t.Context(), time.Now(), node.Marked); err != nil {
					t.Error(err)
				}
			}
		})
		for _, vip := range []string{"244.0.0.9:10250", "243.7.0.9:10250"} {
			answer, err := pod.Ask("tcp", vip)
			if err == nil && strings.Contains(vipRoutes(worker), vip[:4]) {
				t.Errorf("after the part %s: %q answers on %s", p.name(), answer, vip)
			}
		}
	}
	plan := func() {
		worker.Do(func() {
			f.agent.markNetwork()
			work, _ := f.agent.marks.collect()
			f.agent.plan(t.Context(), work, time.Now())
		})
	}
	moved := clusterSet()
	moved.Spec.VIPCIDRs = []v1alpha1.CIDR{"243.7.0.0/16"}
	f.applyStatus(moved)
	plan()
	parts := f.agent.parts()
	for _, p := range parts[1:4] {
		step(p)
	}
	if got := vipRoutes(worker); got != "243.7.0.0/16" {
		t.Errorf("VIP routes: %s", got)
	}
	f.delete(moved)
	plan()
	for _, p := range parts[1:4] {
		step(p)
	}
	if got := worker.Run("nft", "list", "tables"); strings.Contains(got, "table inet tombolo\n") {
		t.Errorf("tables after the cluster left: %s", got)
	}
}
