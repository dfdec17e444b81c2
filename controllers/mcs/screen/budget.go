package screen

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// MaxExports is how many Services a cluster imports from one other cluster: as many as the dataplane
// is measured with (docs/bench.md). 13 clusters that export so many fill a VIP CIDR of /16.
const MaxExports = 5000

// BeyondBudget returns the names of those exports of one cluster that are beyond MaxExports, nil if
// none is. The oldest by the hub's clock stay, then those whose names sort first, so that every
// importer leaves out the same ones. What a cluster imports already stays there all the same.
func BeyondBudget(exports []v1alpha1.ExportedService) map[string]bool {
	if len(exports) <= MaxExports {
		return nil
	}
	order := make([]int, len(exports))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int {
		a, b := &exports[i], &exports[j]
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	beyond := make(map[string]bool, len(exports)-MaxExports)
	for _, i := range order[MaxExports:] {
		beyond[exports[i].Name] = true
	}
	return beyond
}

// Budget tells that a cluster exports more than is imported; nil if it does not. It is one for all
// such exports: there may be many.
func Budget(cluster v1alpha1.ClusterID, beyond int) *Skipped {
	if beyond == 0 {
		return nil
	}
	return &Skipped{SkippedBudget, fmt.Sprintf("ExportedServices of cluster %s: %d are beyond the %d that are imported from one cluster, and the youngest are left out: "+
		"delete ServiceExports there", cluster, beyond, MaxExports), beyond}
}
