package screen

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// Limits are how much of what one cluster publishes another cluster imports. LimitsOf makes them.
type Limits struct {
	Exports             int // Services
	Slices              int // EndpointSlices, of all Services
	Endpoints           int // of all Services and both families
	EndpointsPerService int // of one family of one Service
}

// DefaultLimits are those of a Member that says nothing. The dataplane is measured with so many
// Services and endpoints (docs/bench.md). 13 clusters that export so many Services fill a VIP CIDR of
// /16. EndpointsPerService is five times what Kubernetes once put into one Endpoints object, and few
// enough for a node to load at once.
func DefaultLimits() Limits {
	return Limits{Exports: 5000, Slices: 20_000, Endpoints: 200_000, EndpointsPerService: 5000}
}

// LimitsOf are those of the Member. nil has the default ones.
func LimitsOf(member *v1alpha1.Member) Limits {
	limits := DefaultLimits()
	if member == nil {
		return limits
	}
	set := func(limit *int, value int32) {
		if value > 0 {
			*limit = int(value)
		}
	}
	given := member.Spec.Limits
	set(&limits.Exports, given.Exports)
	set(&limits.Slices, given.Slices)
	set(&limits.Endpoints, given.Endpoints)
	set(&limits.EndpointsPerService, given.EndpointsPerService)
	return limits
}

// remedy is how the clusterset's admin raises a limit, for a cluster that needs it.
func remedy(cluster v1alpha1.ClusterID, limit string, need int) string {
	return fmt.Sprintf("if it needs them, the clusterset's admin runs, in the hub's namespace: kubectl patch member %s --type=merge -p '{\"spec\":{\"limits\":{\"%s\":%d}}}'",
		cluster, limit, need)
}

// Budgeted returns the names of those exports of one cluster that are within what it may have, and of
// those beyond, nil if none is. Those that were within before stay; then the oldest by the hub's clock
// do, then those whose names sort first, so that importers that start together leave out the same
// ones. What a cluster imports already stays there all the same.
func Budgeted(exports []v1alpha1.ExportedService, limits Limits, before map[string]bool) (within, beyond map[string]bool) {
	order := make([]*v1alpha1.ExportedService, len(exports))
	for i := range order {
		order[i] = &exports[i]
	}
	if len(exports) > limits.Exports {
		slices.SortFunc(order, func(a, b *v1alpha1.ExportedService) int {
			if before[a.Name] != before[b.Name] {
				return cmp.Compare(rank(before[a.Name]), rank(before[b.Name]))
			}
			return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
		})
		beyond = make(map[string]bool, len(exports)-limits.Exports)
		for _, e := range order[limits.Exports:] {
			beyond[e.Name] = true
		}
		order = order[:limits.Exports]
	}
	within = make(map[string]bool, len(order))
	for _, e := range order {
		within[e.Name] = true
	}
	return within, beyond
}

// rank sorts what was within before the rest.
func rank(before bool) int {
	if before {
		return 0
	}
	return 1
}

// Budget tells that a cluster exports more than is imported; nil if it does not. It is one for all
// such exports: there may be many.
func Budget(cluster v1alpha1.ClusterID, beyond int, limits Limits) *Skipped {
	if beyond == 0 {
		return nil
	}
	return &Skipped{SkippedBudget, fmt.Sprintf("ExportedServices of cluster %s: %d are beyond the %d that are imported from it, and the youngest are left out: "+
		"delete ServiceExports there; %s", cluster, beyond, limits.Exports, remedy(cluster, "exports", limits.Exports+beyond)), beyond}
}

// VIPShare tells that a Service has no clusterset IP here because its cluster has taken its share of
// these blocks (clusterset.VIPRoom).
func VIPShare(cluster v1alpha1.ClusterID, service string, blocks []netip.Prefix) Skipped {
	return Skipped{SkippedVIP, fmt.Sprintf("Service %s: cluster %s has taken its share of %s, and the free clusterset IPs are kept for others: "+
		"put a larger block into ClusterSet.spec.vipCIDRs, or delete ServiceExports there", service, cluster, clusterset.JoinPrefixes(blocks)), 1}
}
