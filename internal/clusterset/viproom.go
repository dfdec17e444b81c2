package clusterset

import "github.com/tombolo-net/tombolo/api/v1alpha1"

// VIPRoom tells whether a cluster may take one more clusterset IP of a block with that capacity. Half
// of the block is kept for all members in equal parts. The other half is for whoever comes first. So
// a cluster that exports without end never takes the addresses that others need, and one that needs
// many gets about half of the block. held is how many addresses each cluster has. members are asked
// for only if that matters.
//
// An address counts for the cluster whose export of the Service is the oldest.
func VIPRoom(capacity uint64, held map[v1alpha1.ClusterID]uint64, cluster v1alpha1.ClusterID, members func() []v1alpha1.ClusterID) bool {
	var taken uint64
	for _, n := range held {
		taken += n
	}
	if taken < capacity/2 || taken >= capacity { // a block that is full is another matter
		return true
	}
	all := members()
	kept := capacity / 2 / uint64(max(1, len(all)))
	if held[cluster] < kept {
		return true
	}
	for _, other := range all {
		if other != cluster && held[other] < kept {
			taken += kept - held[other]
		}
	}
	return taken < capacity
}
