package agent

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/dataplane/backend"
	"github.com/tombolo-net/tombolo/dataplane/plan"
	"github.com/tombolo-net/tombolo/internal/kernel/conntrack"
	"github.com/tombolo-net/tombolo/internal/node"
)

// flows are the part that ends flows which began under other rules: before the node had any, or
// while somebody had taken them away. The kernel decides about a flow by its first packet. A UDP
// client that goes on sending from one port would be without an answer for as long as it sends.
type flows struct {
	attempts
	services *services
	gate     *vipGate
	network  plan.Network
	// begun are the rules of now, and settled those under which flows were last looked through.
	begun, settled rules
	// pending is true if others have changed rules since then, and wrote if the agent wrote some.
	pending, wrote bool
	// next is when to look through the flows again, at the earliest.
	next time.Time
}

// rules are what the kernel decides by about the first packet of a flow.
type rules struct {
	by v1alpha1.DataplaneBackend
	// guarded and led are the VIP CIDRs of the filter and of the routes.
	guarded, led         []netip.Prefix
	own, remote, transit []netip.Prefix
}

func (r rules) equal(o rules) bool {
	return r.by == o.by && slices.Equal(r.guarded, o.guarded) && slices.Equal(r.led, o.led) &&
		slices.Equal(r.own, o.own) && slices.Equal(r.remote, o.remote) && slices.Equal(r.transit, o.transit)
}

// flowsShare is how much of its time the loop may spend on this: one part in so many. Others may take
// rules away again and again, and a full table takes a second to list.
const flowsShare = 50

func newFlows(services *services, gate *vipGate) *flows {
	return &flows{attempts: attempts{retry: newRetry()}, services: services, gate: gate}
}

func (f *flows) name() string { return "flows" }

// note takes note of what another part did. Without a change of rules, which is how most processes
// begin, no flow is on its way under other rules.
func (f *flows) note(did backend.Change) {
	f.pending = f.pending || len(did.Mended) > 0
	f.wrote = f.wrote || did.Written > 0
}

// due once all parts before this one have done what they can.
func (f *flows) due(_ context.Context, now time.Time, _ node.Cause) bool {
	f.begun = rules{by: f.services.backend.Serves(), guarded: f.gate.guarded, led: f.gate.led,
		own: f.network.Own, remote: f.network.Remote, transit: hosts(f.network.Transit)}
	if !f.pending && f.begun.equal(f.settled) || !f.services.backend.InStep() || now.Before(f.next) {
		return false
	}
	return f.retry.Due(now, false)
}

func hosts(addresses []netip.Addr) []netip.Prefix {
	all := make([]netip.Prefix, 0, len(addresses))
	for _, a := range addresses {
		all = append(all, netip.PrefixFrom(a, a.BitLen()))
	}
	return all
}

func (f *flows) sync(ctx context.Context, now time.Time, _ node.Cause) (did backend.Change, err error) {
	begin := time.Now()
	did.Written, err = f.services.backend.EndStale(ctx, conntrack.Stale{Unanswered: f.wrote || f.pending,
		Remote: f.network.Remote, Own: f.network.Own, Transit: f.network.Transit})
	f.next = now.Add(flowsShare * time.Since(begin))
	if err == nil {
		f.settled, f.pending, f.wrote = f.begun, false, false
	}
	return did, f.record(now, err)
}

// failure is nil: the node serves all flows that begin now. The condition says the others.
func (f *flows) failure() error { return nil }

// remarks is what the condition says; nothing if all is well.
func (f *flows) remarks() []string {
	if f.problem == nil {
		return nil
	}
	return []string{fmt.Sprintf("UDP clients that sent before there were rules get no answers until they pause for two minutes, because their flows cannot be ended: %v", f.problem)}
}
