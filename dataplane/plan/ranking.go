package plan

import (
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// ranking says in which level an endpoint is. Levels count from 0, the first is preferred.
type ranking struct {
	kind  rankingKind
	place *Place
	// policy in effect; nil: none.
	policy *v1alpha1.TrafficPolicySpec
}

type rankingKind uint8

// The kinds of rankings.
const (
	// The zero kind has one level, with all endpoints.
	_ rankingKind = iota
	// onlyNode has one level, with this node's endpoints. Others are in no level.
	onlyNode
	// ownFirst has this cluster's endpoints, then the others'.
	ownFirst
	// byZone has this zone's endpoints in this cluster, this zone's in others, this cluster's, then
	// the others'.
	byZone
	// byNode has this node's endpoints, then the levels of byZone.
	byNode
	// byPolicy has the failover steps, then the clusters that are in no step. If the policy has
	// weights, each of these levels is two: first the clusters with a weight, then the others.
	byPolicy
)

// noLevel is the level of an endpoint that never gets new flows.
const noLevel = -1

// newRanking of an import. internalTrafficPolicy Local comes first, then the policy's failover and
// weights, then trafficDistribution, then the ClusterSet's locality. An unknown trafficDistribution
// counts as absent.
func newRanking(spec *mcsv1beta1.ServiceImportSpec, policy *v1alpha1.TrafficPolicy, place *Place) ranking {
	r := ranking{place: place}
	if policy != nil {
		r.policy = &policy.Spec
	}
	distribution := ""
	if spec.TrafficDistribution != nil {
		distribution = *spec.TrafficDistribution
	}
	switch local := spec.InternalTrafficPolicy; {
	case local != nil && *local == corev1.ServiceInternalTrafficPolicyLocal:
		r.kind = onlyNode
	case r.policy != nil && len(r.policy.Failover)+len(r.policy.Weights) > 0:
		r.kind = byPolicy
	case distribution == corev1.ServiceTrafficDistributionPreferSameNode:
		r.kind = byNode
	case distribution == corev1.ServiceTrafficDistributionPreferSameZone, distribution == corev1.ServiceTrafficDistributionPreferClose:
		r.kind = byZone
	case place.Locality == v1alpha1.LocalityLocalFirst:
		r.kind = ownFirst
	}
	return r
}

// weighted tells whether each level is split in two, by whether the policy gives the cluster a
// weight.
func (r *ranking) weighted() bool { return r.kind == byPolicy && len(r.policy.Weights) > 0 }

// levels is how many there are.
func (r *ranking) levels() int {
	switch r.kind {
	case ownFirst:
		return 2
	case byZone:
		return 4
	case byNode:
		return 5
	case byPolicy:
		if r.weighted() {
			return 2 * (len(r.policy.Failover) + 1)
		}
		return len(r.policy.Failover) + 1
	}
	return 1
}

// name of a level, in words.
func (r *ranking) name(level int) string {
	inZone := "in zone " + r.place.Zone
	if r.place.Zone == "" {
		inZone = "in this node's zone, which is not known,"
	}
	switch r.kind {
	case onlyNode:
		return "on this node"
	case ownFirst:
		return [...]string{"in this cluster", "in other clusters"}[level]
	case byZone:
		return [...]string{inZone + " of this cluster", inZone + " of other clusters", "elsewhere in this cluster", "elsewhere in other clusters"}[level]
	case byNode:
		return [...]string{"on this node", inZone + " of this cluster", inZone + " of other clusters",
			"elsewhere in this cluster", "elsewhere in other clusters"}[level]
	case byPolicy:
		return r.policyName(level)
	}
	return "all endpoints"
}

func (r *ranking) policyName(level int) string {
	step, which := level, ""
	if r.weighted() {
		step, which = level/2, [...]string{"clusters with a weight", "clusters without a weight"}[level%2]
	}
	if len(r.policy.Failover) == 0 {
		return which
	}
	name := "clusters in no failover step"
	if step < len(r.policy.Failover) {
		name = fmt.Sprintf("failover step %d", step+1)
	}
	if which != "" {
		name += ", " + which
	}
	return name
}

// byWeight tells whether the clusters of that level share its flows by their weights.
func (r *ranking) byWeight(level int) bool { return r.weighted() && level%2 == 0 }

// overprovisioning in percent; zero: no spillover.
func (r *ranking) overprovisioning() int {
	switch {
	case r.policy == nil || r.policy.Spillover == nil:
		return 0
	case r.policy.Spillover.OverprovisioningPercent == 0:
		return defaultOverprovisioning
	}
	return int(max(100, r.policy.Spillover.OverprovisioningPercent))
}

// scheduler of the policy. Without a policy it is Random, as Kubernetes promises no order. IPVS
// goes in turns all the same. In nftables many services share the turns, and Random keeps it from
// falling into step with a client that alternates between two services.
func (r *ranking) scheduler() v1alpha1.Scheduler {
	if r.policy == nil {
		return v1alpha1.SchedulerRandom
	}
	switch s := r.policy.Scheduler; s {
	case v1alpha1.SchedulerLeastConnection, v1alpha1.SchedulerConsistentHash, v1alpha1.SchedulerRandom:
		return s
	}
	return v1alpha1.SchedulerRoundRobin
}

// weight of the cluster in the policy; false: it is not listed.
func (r *ranking) weight(cluster v1alpha1.ClusterID) (int32, bool) {
	if r.policy == nil {
		return 0, false
	}
	for _, w := range r.policy.Weights {
		if w.Cluster == cluster {
			return max(0, w.Weight), true
		}
	}
	return 0, false
}

// member is a cluster that has endpoints, as a ranking sees it.
type member struct {
	id v1alpha1.ClusterID
	// own is true for this cluster. sameZones is true if its zones are this cluster's zones of the
	// same name.
	own, sameZones bool
	// drained is true if the policy gives it weight 0.
	drained     bool
	unreachable bool
	// cidrs hold its endpoints; they mean nothing unless Place.CIDRs is known.
	cidrs []netip.Prefix
	// weight that the policy gives it; zero also if it is not listed.
	weight int32
	// level of all its endpoints, where the policy ranks.
	level int32
}

func (r *ranking) member(id v1alpha1.ClusterID) member {
	m := member{id: id, own: id == r.place.Cluster, cidrs: r.place.CIDRs[id]}
	m.unreachable = !m.own && r.place.Remotes[id].Unreachable
	if r.kind == byZone || r.kind == byNode {
		m.sameZones = m.own || r.place.Area.SameZones(r.place.area(id))
	}
	weight, listed := r.weight(id)
	m.weight, m.drained = weight, listed && weight == 0
	if r.kind == byPolicy {
		m.level = int32(r.step(id))
		if r.weighted() {
			m.level *= 2
			if !listed {
				m.level++
			}
		}
	}
	return m
}

// step is the first failover step that names the cluster or its region. If none does, it is one
// behind the last.
func (r *ranking) step(cluster v1alpha1.ClusterID) int {
	region := r.place.area(cluster).Region
	for i := range r.policy.Failover {
		step := &r.policy.Failover[i]
		if slices.Contains(step.Clusters, cluster) || region != "" && slices.Contains(step.Regions, region) {
			return i
		}
	}
	return len(r.policy.Failover)
}

// level of a member's endpoint.
func (r *ranking) level(m *member, zone *string, here bool) int {
	if m.drained {
		return noLevel
	}
	sameZone := m.sameZones && zone != nil && *zone != "" && *zone == r.place.Zone
	switch r.kind {
	case onlyNode:
		if !here {
			return noLevel
		}
	case ownFirst:
		if !m.own {
			return 1
		}
	case byZone:
		return zoneLevel(m.own, sameZone)
	case byNode:
		if !here {
			return 1 + zoneLevel(m.own, sameZone)
		}
	case byPolicy:
		return int(m.level)
	}
	return 0
}

func zoneLevel(own, sameZone bool) int {
	switch {
	case own && sameZone:
		return 0
	case sameZone:
		return 1
	case own:
		return 2
	}
	return 3
}

// fingerprint changes when the levels mean something else than before. Then what is remembered of
// them no longer applies, and the new levels are used at once, as the user who changed them
// expects.
func (r *ranking) fingerprint() uint64 {
	h := fnv(fnvOffset).byte(byte(r.kind))
	if r.overprovisioning() > 0 {
		h = h.byte('s')
	}
	switch r.kind {
	case byZone, byNode:
		h = h.text(r.place.Zone)
	case byPolicy:
		for i := range r.policy.Failover {
			h = h.byte('f')
			for _, c := range r.policy.Failover[i].Clusters {
				h = h.text(string(c))
			}
			h = h.byte('r')
			for _, region := range r.policy.Failover[i].Regions {
				h = h.text(region)
			}
		}
		listed := fnv(0) // in any order
		for _, w := range r.policy.Weights {
			one := fnv(fnvOffset).text(string(w.Cluster))
			if w.Weight <= 0 {
				one = one.byte(0)
			}
			listed += one
		}
		h += listed
	}
	return uint64(h)
}

// fnv is the FNV-1a hash of 64 bits. Unlike hash/fnv it does not allocate.
type fnv uint64

const (
	fnvOffset = 14695981039346656037
	fnvPrime  = 1099511628211
)

func (h fnv) byte(b byte) fnv { return (h ^ fnv(b)) * fnvPrime }

// text adds the text, and a byte that no name contains.
func (h fnv) text(s string) fnv {
	for i := range len(s) {
		h = h.byte(s[i])
	}
	return h.byte(0)
}
