package mcs

import (
	"slices"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// KeepGateways returns the gateways that a cluster published, by lane, and those of before that it is not known to have
// withdrawn, but for such whose name or lane another has now.
func KeepGateways(published, before []v1alpha1.RemoteGateway) []v1alpha1.RemoteGateway {
	kept := slices.Clone(published)
	for _, old := range before {
		if !slices.ContainsFunc(published, func(g v1alpha1.RemoteGateway) bool { return g.Name == old.Name || g.Lane == old.Lane }) {
			kept = append(kept, old)
		}
	}
	slices.SortFunc(kept, func(a, b v1alpha1.RemoteGateway) int { return int(a.Lane - b.Lane) })
	return kept
}
