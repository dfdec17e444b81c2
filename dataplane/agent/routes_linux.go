package agent

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/tombolo-net/tombolo/dataplane/backend"
	"github.com/tombolo-net/tombolo/dataplane/plan"
	"github.com/tombolo-net/tombolo/internal/node"
)

// routes are the part that leads packets to the gateways, and back to the nodes.
type routes struct {
	attempts
	wanted network
	// gate says which VIP CIDRs may be led here. guarded are those that were when last tried.
	gate    *vipGate
	guarded []netip.Prefix
	// dirty is true if what is wanted may have changed since the last attempt.
	dirty bool
	// touched is set when the kernel says that somebody changed routes, rules or addresses.
	touched atomic.Bool
}

func newRoutes(gate *vipGate) *routes {
	return &routes{attempts: attempts{retry: newRetry()}, gate: gate, dirty: true}
}

func (r *routes) name() string { return "routes" }

func (r *routes) want(planned plan.Network) {
	wanted := network{vxlan: planned.VXLAN, routes: planned.Routes}
	r.dirty = r.dirty || diffNetwork(r.wanted, wanted).size() > 0
	r.wanted = wanted
}

// due: the kernel announces when somebody changes routes. If an announcement is lost, an audit
// finds the change.
func (r *routes) due(_ context.Context, now time.Time, cause node.Cause) bool {
	r.dirty = r.dirty || !slices.Equal(r.guarded, r.gate.guarded)
	if r.retry.Failing() {
		return r.retry.Due(now, r.dirty || r.touched.Swap(false)) || cause == node.Audited
	}
	return r.dirty || cause != node.Marked && r.touched.Swap(false) || cause == node.Audited
}

func (r *routes) sync(ctx context.Context, now time.Time, _ node.Cause) (backend.Change, error) {
	touched := !r.dirty && !r.retry.Failing()
	want := network{vxlan: r.wanted.vxlan, routes: r.gate.pass(r.wanted.routes)}
	change, err := syncNetwork(ctx, want)
	r.guarded, r.dirty = r.gate.guarded, false
	r.gate.routed(want.routes, err)
	did := backend.Change{Written: change.size()}
	if touched {
		did.Mended = change.inWords()
	}
	return did, r.record(now, err)
}

// settled reports whether the kernel has what is wanted, as of the last attempt.
func (r *routes) settled() bool { return !r.dirty && r.problem == nil }

// inWords returns the words of each item.
func inWords[T fmt.Stringer](items []T) []string {
	words := make([]string, 0, len(items))
	for _, item := range items {
		words = append(words, item.String())
	}
	return words
}
