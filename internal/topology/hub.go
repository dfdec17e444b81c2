package topology

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/mcs/screen"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

const (
	// stale is the age of a heartbeat from which on its member counts as away.
	stale = 40 * time.Second
	// refusals is how many findings of one kind are listed for a member. One more counts the rest.
	refusals = 10
)

// HubSnapshot is what a hub's namespace holds.
type HubSnapshot struct {
	Namespace, ClusterSet string
	Members               []v1alpha1.Member
	Exports               []v1alpha1.ExportedService
	Slices                []discoveryv1.EndpointSlice
	Gateways              []v1alpha1.GatewayNode
	Leases                []coordinationv1.Lease
	// Now is when it was read, by the user's clock.
	Now time.Time
}

// Hub is a namespace through which members exchange state.
type Hub struct {
	// Context of the cluster that has it.
	Context    string `json:"context"`
	Namespace  string `json:"namespace"`
	ClusterSet string `json:"clusterSet"`
	// Members that the hub's admin approves, by ID.
	Members []HubMember `json:"members"`
}

// HubMember is a Member, and what its cluster publishes.
type HubMember struct {
	ID      v1alpha1.ClusterID `json:"id"`
	Index   int32              `json:"index"`
	Removed bool               `json:"removed,omitempty"`
	// Heartbeat is when the member's operator last renewed its Lease, by its own clock, and
	// AgeSeconds how long that was ago. Missing: it never did.
	Heartbeat  *time.Time `json:"heartbeat,omitempty"`
	AgeSeconds int64      `json:"ageSeconds,omitempty"`
	Gateways   int        `json:"gateways"`
	Exports    Use        `json:"exports"`
	Slices     Use        `json:"slices"`
	Endpoints  Use        `json:"endpoints"`
}

// Use is how many things a member publishes, and how many others import from it.
type Use struct {
	Used  int `json:"used"`
	Limit int `json:"limit"`
}

func hubsOf(snapshots []Snapshot) (all []Hub) {
	for i := range snapshots {
		for j := range snapshots[i].Hubs {
			all = append(all, hubOf(snapshots[i].Context, &snapshots[i].Hubs[j]))
		}
	}
	slices.SortFunc(all, func(a, b Hub) int {
		return cmp.Or(cmp.Compare(a.Context, b.Context), cmp.Compare(a.Namespace, b.Namespace))
	})
	return all
}

func hubOf(context string, s *HubSnapshot) Hub {
	hub := Hub{Context: context, Namespace: s.Namespace, ClusterSet: s.ClusterSet, Members: []HubMember{}}
	published := s.published()
	for i := range s.Members {
		m := &s.Members[i]
		id := v1alpha1.ClusterID(m.Name)
		p, limits := published[id], screen.LimitsOf(m)
		member := HubMember{ID: id, Index: m.Spec.Index, Removed: m.Spec.Removed, Gateways: p.gateways, Exports: Use{len(p.exports), limits.Exports},
			Slices: Use{len(p.slices), limits.Slices}, Endpoints: Use{p.endpoints(), limits.Endpoints}}
		if p.renewed != nil {
			member.Heartbeat, member.AgeSeconds = &p.renewed.Time, int64(s.Now.Sub(p.renewed.Time).Seconds())
		}
		hub.Members = append(hub.Members, member)
	}
	slices.SortFunc(hub.Members, func(a, b HubMember) int { return cmp.Compare(a.ID, b.ID) })
	return hub
}

// publication is what one cluster has on the hub.
type publication struct {
	exports  []v1alpha1.ExportedService
	slices   []discoveryv1.EndpointSlice
	gateways int
	renewed  *metav1.MicroTime
}

func (p publication) endpoints() (n int) {
	for i := range p.slices {
		n += len(p.slices[i].Endpoints)
	}
	return n
}

// published is what each cluster has on the hub, by its ID.
func (s *HubSnapshot) published() map[v1alpha1.ClusterID]publication {
	all := map[v1alpha1.ClusterID]publication{}
	of := func(labels map[string]string, add func(*publication)) {
		id := clusterset.SourceCluster(labels)
		p := all[id]
		add(&p)
		all[id] = p
	}
	for i := range s.Exports {
		of(s.Exports[i].Labels, func(p *publication) { p.exports = append(p.exports, s.Exports[i]) })
	}
	for i := range s.Slices {
		of(s.Slices[i].Labels, func(p *publication) { p.slices = append(p.slices, s.Slices[i]) })
	}
	for i := range s.Gateways {
		of(s.Gateways[i].Labels, func(p *publication) { p.gateways++ })
	}
	for i := range s.Leases {
		l := &s.Leases[i]
		if l.Name == clusterset.LeaseName(clusterset.SourceCluster(l.Labels)) {
			of(l.Labels, func(p *publication) { p.renewed = l.Spec.RenewTime })
		}
	}
	return all
}

// hub adds what is not right on a hub: members that are away, and what no cluster imports.
func (f *findings) hub(s *HubSnapshot) {
	published := s.published()
	for i := range s.Members {
		m := &s.Members[i]
		id := v1alpha1.ClusterID(m.Name)
		f.member(s, m, published[id])
		delete(published, id)
	}
	for _, id := range slices.Sorted(maps.Keys(published)) {
		if p := published[id]; id != "" && len(p.exports)+len(p.slices)+p.gateways > 0 {
			f.warn(s.Namespace, string(id), "", fmt.Sprintf("the hub has no such Member, and objects of that cluster: what others imported from it stays, "+
				"and nothing new comes. Create the Member again, or purge it: kubectl tombolo member remove %s --purge", id))
		}
	}
}

func (f *findings) member(s *HubSnapshot, m *v1alpha1.Member, p publication) {
	switch {
	case m.Spec.Removed:
		if n := len(p.exports) + len(p.slices) + p.gateways; n > 0 {
			f.warn(s.Namespace, m.Name, "", fmt.Sprintf("it is removed, and %d objects of it are left: kubectl tombolo member remove %s --purge", n, m.Name))
		}
		return
	case p.renewed == nil:
		f.warn(s.Namespace, m.Name, "", "its cluster has never renewed its Lease: has it joined (kubectl tombolo join)?")
	case s.Now.Sub(p.renewed.Time) > stale:
		f.add("Member", m, "", fmt.Sprintf("its cluster has last renewed its Lease %s ago: what it exports stays, and does not change. "+
			"Look at its operator, and at the condition HubConnected of its ClusterSet", s.Now.Sub(p.renewed.Time).Round(time.Second)))
	}
	f.refused("ExportedService", s, m, refusedExports(m, p))
	f.refused("EndpointSlice", s, m, refusedSlices(m, p))
}

// refusedExports are the reasons for which others do not import what the member exports.
func refusedExports(m *v1alpha1.Member, p publication) (all []screen.Skipped) {
	for i := range p.exports {
		e := &p.exports[i]
		switch why := screen.Export(e); {
		case why != nil:
			all = append(all, *why)
		default:
			if why := screen.Namespace(m, e.Spec.Namespace, e.Spec.Name, false); why != nil {
				all = append(all, *why)
			}
		}
	}
	limits := screen.LimitsOf(m)
	_, beyond := screen.Budgeted(p.exports, limits, nil)
	if why := screen.Budget(v1alpha1.ClusterID(m.Name), len(beyond), limits); why != nil {
		all = append(all, *why)
	}
	return all
}

// refusedSlices are the reasons for which others do not import endpoints of the member.
func refusedSlices(m *v1alpha1.Member, p publication) (all []screen.Skipped) {
	limits, cidrs := screen.LimitsOf(m), clusterset.Prefixes(m.Spec.CIDRs)
	share := screen.ShareOf(p.slices, limits)
	for i := range p.slices {
		slice := &p.slices[i]
		if share.Out[slice.Name] {
			continue
		}
		limited, why := share.Limit(slice, limits)
		all = append(all, why...)
		_, why = screen.Endpoints(limited, cidrs)
		all = append(all, why...)
	}
	if why := share.Told(v1alpha1.ClusterID(m.Name), limits); why != nil {
		all = append(all, *why)
	}
	return all
}

// refused adds what others do not import of the member, in the order of the messages.
func (f *findings) refused(kind string, s *HubSnapshot, m *v1alpha1.Member, all []screen.Skipped) {
	slices.SortFunc(all, func(a, b screen.Skipped) int { return cmp.Compare(a.Message, b.Message) })
	for _, why := range all[:min(len(all), refusals)] {
		f.warn(s.Namespace, m.Name, why.Reason, "others do not import "+strings.TrimSpace(why.Message))
	}
	if more := len(all) - refusals; more > 0 {
		f.warn(s.Namespace, m.Name, "", fmt.Sprintf("others do not import %d more %ss, for such reasons", more, kind))
	}
}

// warn adds a warning about a Member.
func (f *findings) warn(namespace, name, reason, message string) {
	f.all = append(f.all, Finding{Severity: SeverityWarning, Cluster: f.cluster, Kind: "Member", Namespace: namespace, Name: name, Reason: reason, Message: message})
}
