package agent

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/tombolo-net/tombolo/dataplane/backend"
	"github.com/tombolo-net/tombolo/internal/kernel/route"
	"github.com/tombolo-net/tombolo/internal/node"
)

// routes are the part that leads packets to the gateways, and back to the nodes.
type routes struct {
	attempts
	wanted route.Config
	// dirty is true if what is wanted may have changed since the last attempt.
	dirty bool
	// touched is set when the kernel says that somebody changed routes, rules or addresses.
	touched atomic.Bool
}

func newRoutes() *routes { return &routes{attempts: attempts{retry: newRetry()}, dirty: true} }

func (r *routes) name() string { return "routes" }

func (r *routes) want(wanted route.Config) {
	r.dirty = r.dirty || !route.Diff(r.wanted, wanted).Empty()
	r.wanted = wanted
}

// due: the kernel announces when somebody changes routes. If an announcement is lost, an audit finds the change.
func (r *routes) due(_ context.Context, now time.Time, cause node.Cause) bool {
	if r.retry.Failing() {
		return r.retry.Due(now, r.dirty || r.touched.Swap(false)) || cause == node.Audited
	}
	return r.dirty || cause != node.Marked && r.touched.Swap(false) || cause == node.Audited
}

func (r *routes) sync(ctx context.Context, now time.Time, _ node.Cause) (backend.Change, error) {
	touched := !r.dirty && !r.retry.Failing()
	change, err := route.Sync(ctx, r.wanted)
	r.dirty = false
	did := backend.Change{Written: change.Size()}
	if touched {
		did.Mended = mendedRoutes(change)
	}
	return did, r.record(now, err)
}

// mendedRoutes returns what was not as it should be, in words.
func mendedRoutes(change route.Change) []string {
	words := slices.Concat(inWords(change.SetRoutes), inWords(change.DeleteRoutes), inWords(change.AddRules), inWords(change.DeleteRules),
		inWords(change.SetNeighbours), inWords(change.DeleteNeighbours), inWords(change.SetForwards), inWords(change.DeleteForwards))
	if change.AddVXLAN != nil || change.SetVXLAN != nil || change.DeleteVXLAN {
		words = append([]string{"the VXLAN device"}, words...)
	}
	return words
}

// inWords returns the words of each item.
func inWords[T fmt.Stringer](items []T) []string {
	words := make([]string, 0, len(items))
	for _, item := range items {
		words = append(words, item.String())
	}
	return words
}
