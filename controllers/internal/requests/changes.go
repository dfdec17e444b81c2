package requests

import (
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// SpecChanged passes objects that come, go, are made anew or have another spec.
func SpecChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		return e.ObjectOld.GetUID() != e.ObjectNew.GetUID() || e.ObjectOld.GetGeneration() != e.ObjectNew.GetGeneration()
	}}
}

// RegionChanged passes RemoteClusters that may change which clusters and regions there are.
func RegionChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		return e.ObjectOld.(*v1alpha1.RemoteCluster).Spec.Region != e.ObjectNew.(*v1alpha1.RemoteCluster).Spec.Region
	}}
}
