package agent

import (
	"context"
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/dataplane/backend"
	"github.com/tombolo-net/tombolo/dataplane/ipvs"
	"github.com/tombolo-net/tombolo/dataplane/plan"
	"github.com/tombolo-net/tombolo/internal/kernel/nft"
	"github.com/tombolo-net/tombolo/internal/node"
)

// services are the part that serves clusterset IPs.
type services struct {
	wanted  *plan.Table
	backend *backend.Backend
	// choice is what serves, and circumstances are what it follows from.
	choice        backend.Choice
	circumstances backend.Circumstances
	// before is what served when this process began; empty if nothing did.
	before v1alpha1.DataplaneBackend
	// contested is what others did to the IPVS table, again and again; empty if they did not. It stays
	// until the ClusterSet asks for a backend by name: nothing tells that they have stopped.
	contested string
	// changed are the services that changed since the backend was last told.
	changed backend.Changed
	// destinations is how many the wanted services have.
	destinations int
	// failed is why the kernel is not in step with what is wanted, since the last attempt; nil if
	// it is.
	failed error
	retry  node.Retry
	// problem is what failed in the last sync, with the remedy.
	problem error
}

func newServices(wanted *plan.Table, writes *nft.Writes) *services {
	return &services{retry: newRetry(), wanted: wanted, backend: backend.New(wanted, writes), changed: backend.Changed{}}
}

func (s *services) name() string { return "services" }

// replace takes note of services that were replaced in the table.
func (s *services) replace(replaced []plan.Replaced) {
	for _, r := range replaced {
		if _, pending := s.changed[r.Key]; !pending {
			s.changed[r.Key] = r.Before.Destinations
		}
		after, _ := s.wanted.Get(r.Key)
		s.destinations += len(after.Destinations) - len(r.Before.Destinations)
	}
}

// choose says what serves from now on, and reports whether that is another choice than before.
// The module of IPVS may be loaded later: audits look for it, and ticks do while IPVS should serve.
func (s *services) choose(p *planner, proxy backend.ProxyState, cause node.Cause) (changed bool) {
	if p.options.Backend == v1alpha1.BackendIPVS || p.options.Backend == v1alpha1.BackendNFTables {
		s.contested = ""
	}
	now := backend.Circumstances{Before: s.before, Contested: s.contested, Asked: p.options.Backend, Proxy: proxy, VIPs: p.place.VIPs, NoIPVS: s.circumstances.NoIPVS}
	missed := now.NoIPVS != nil && s.choice.Backend == v1alpha1.BackendIPVS
	if cause == node.Audited || cause == node.Ticked && missed || !s.backend.Ready() {
		now.NoIPVS = ipvs.Available()
	}
	if s.choice.Backend == "" || !now.Equal(s.circumstances) {
		s.choice, changed = now.Choose(), true
	}
	s.circumstances = now
	if s.refused() {
		return changed
	}
	s.backend.Refuse(s.choice.Refused)
	if s.backend.Serve(s.choice.Backend, p.options.Counters) {
		s.failed = nil
		s.retry.Reset()
	}
	return changed
}

// contest gives the IPVS table up if others undo what is in it again and again, and the ClusterSet
// does not ask for a backend by name. It reports whether that is new.
func (s *services) contest(seen others) bool {
	if s.contested != "" || !s.byIPVS() || s.circumstances.Asked == v1alpha1.BackendIPVS || !seen.keepOn(s.name()) {
		return false
	}
	s.contested = seen[s.name()].first
	seen.forget(s.name())
	return true
}

// recall takes over from the condition that an earlier life of this agent wrote that the IPVS table
// is contested.
func (s *services) recall(node *corev1.Node) {
	for _, c := range node.Status.Conditions {
		if c.Type == v1alpha1.NodeConditionDataplane && c.Reason == reasonContested {
			s.contested = "virtual services had to be repaired twice within ten minutes, before this agent started"
		}
	}
}

// failure is not about services while none may be programmed: then the refusal is the problem.
func (s *services) failure() error {
	if s.refused() {
		return nil
	}
	return s.problem
}

// refused reports whether no virtual service may be programmed.
func (s *services) refused() bool { return s.choice.Refusal != nil && len(s.choice.Refused) == 0 }

func (s *services) due(ctx context.Context, now time.Time, cause node.Cause) bool {
	switch {
	case s.refused():
		return false
	case !s.backend.InStep(), len(s.changed) > 0, cause == node.Audited:
		return true
	}
	return cause == node.Ticked && (s.failed != nil || s.backend.Touched(ctx, now))
}

// sync gives the backend what changed, all of it at first, and lets it look for what others did
// unless only marks are the cause. An audit tries in any case what failed.
func (s *services) sync(ctx context.Context, now time.Time, cause node.Cause) (did backend.Change, err error) {
	first := !s.backend.InStep()
	pending := first || len(s.changed) > 0 || s.failed != nil
	attempt := pending && (s.retry.Due(now, len(s.changed) > 0 || s.moduleLoaded()) || cause == node.Audited)
	if attempt {
		did, err = s.backend.Sync(ctx, s.changed)
		clear(s.changed) // a backend remembers what it could not do
		s.record(now, err)
	}
	if cause != node.Marked && (!first || !attempt) {
		mended, errRepair := s.backend.Repair(ctx, now, cause == node.Audited)
		did = did.And(mended)
		if errRepair != nil && s.failed == nil {
			s.record(now, errRepair)
			err = errRepair
		}
	}
	var errLeave error
	if s.failed == nil && (first || cause == node.Audited) {
		var left backend.Change
		left, errLeave = s.backend.Leave(ctx, now)
		did = did.And(left)
	}
	s.problem = remedied(errors.Join(s.failed, errLeave))
	return did, errors.Join(err, errLeave)
}

func (s *services) record(now time.Time, err error) {
	s.failed = err
	s.retry.Record(now, err)
}

// moduleLoaded reports whether the kernel has IPVS by now, and the last attempt failed because it
// had not.
func (s *services) moduleLoaded() bool {
	return s.backend.Serves() == v1alpha1.BackendIPVS && s.circumstances.NoIPVS == nil && errors.Is(s.failed, ipvs.ErrNoModule)
}

// byIPVS reports whether IPVS serves.
func (s *services) byIPVS() bool {
	return s.backend.InStep() && s.backend.Serves() == v1alpha1.BackendIPVS
}
