package clusterset

import (
	"cmp"
	"time"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// Claimant is a cluster that claims an index and CIDRs.
type Claimant struct {
	Cluster v1alpha1.ClusterID
	InUse   bool      // this cluster already uses its claim
	Since   time.Time // when the claim was made
}

// Compare puts the claimant first that wins if two claims collide: the one that is in use, then the
// older one, then the one whose cluster ID sorts first.
func (c Claimant) Compare(other Claimant) int {
	if c.InUse != other.InUse {
		if c.InUse {
			return -1
		}
		return 1
	}
	return cmp.Or(c.Since.Compare(other.Since), cmp.Compare(c.Cluster, other.Cluster))
}
