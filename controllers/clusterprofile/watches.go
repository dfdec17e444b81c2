package clusterprofile

import (
	"context"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/runtime/schema"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/internal/optionalkind"
	"github.com/tombolo-net/tombolo/controllers/internal/requests"
	"github.com/tombolo-net/tombolo/controllers/internal/retry"
)

// SetUp adds the controller to the manager.
func (r *Reconciler) SetUp(_ context.Context, mgr ctrl.Manager) error {
	var err error
	r.profiles, err = optionalkind.New(mgr, optionalkind.Kind{
		CRD:       "clusterprofiles.multicluster.x-k8s.io",
		GroupKind: schema.GroupKind{Group: "multicluster.x-k8s.io", Kind: "ClusterProfile"},
		Versions:  []string{"v1alpha1"},
		Namespace: r.Namespace,
	})
	if err != nil {
		return err
	}
	made, err := retry.Controller(mgr, "clusterprofile", 1).
		For(&v1alpha1.ClusterSet{}).
		Watches(&v1alpha1.RemoteCluster{}, handler.EnqueueRequestsFromMapFunc(requests.TheClusterSet), builder.WithPredicates(remoteChanged())).
		Build(r)
	r.profiles.Bind(made, requests.TheClusterSet)
	return err
}

// remoteChanged passes what a profile says of a RemoteCluster. Its links change more often.
func remoteChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, after := e.ObjectOld.(*v1alpha1.RemoteCluster), e.ObjectNew.(*v1alpha1.RemoteCluster)
		return before.UID != after.UID || before.Spec.Region != after.Spec.Region ||
			before.DeletionTimestamp.IsZero() != after.DeletionTimestamp.IsZero() ||
			!equality.Semantic.DeepEqual(conditions(before), conditions(after))
	}}
}
