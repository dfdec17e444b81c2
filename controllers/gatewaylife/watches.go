package gatewaylife

import (
	"context"
	"strings"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/internal/requests"
	"github.com/tombolo-net/tombolo/controllers/internal/retry"
)

// SetUp adds the controller to the manager. One reconcile at a time, because each judges a gateway
// beside the others. It asks no hub: one that does not answer must not delay it.
func (r *Reconciler) SetUp(_ context.Context, mgr ctrl.Manager) error {
	return retry.Controller(mgr, "gatewaylife", 1).
		For(&v1alpha1.GatewayNode{}).
		Watches(&coordinationv1.Lease{}, handler.EnqueueRequestsFromMapFunc(r.ofLease)).
		Watches(&corev1.Node{}, handler.EnqueueRequestsFromMapFunc(r.ofNode), builder.WithPredicates(nodeChanged())).
		Complete(r)
}

// CacheObjects are what the operator's cache holds of Leases: those of the gateways.
func CacheObjects(namespace string) map[client.Object]cache.ByObject {
	return map[client.Object]cache.ByObject{&coordinationv1.Lease{}: {
		Namespaces: map[string]cache.Config{namespace: {}},
		Label:      labels.SelectorFromSet(labels.Set{v1alpha1.LabelGateway: "true"}),
	}}
}

func (r *Reconciler) ofLease(_ context.Context, lease client.Object) []reconcile.Request {
	gateway, is := strings.CutPrefix(lease.GetName(), v1alpha1.GatewayLeasePrefix)
	if !is {
		return nil
	}
	return requests.For(r.Namespace, gateway)
}

func (r *Reconciler) ofNode(_ context.Context, node client.Object) []reconcile.Request {
	return requests.For(r.Namespace, node.GetName())
}

// nodeChanged passes nodes that are deleted, or that got or lost the label or their readiness.
func nodeChanged() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(event.CreateEvent) bool { return false }, // GatewayNodes have events of their own
		UpdateFunc: func(e event.UpdateEvent) bool {
			before, after := e.ObjectOld.(*corev1.Node), e.ObjectNew.(*corev1.Node)
			_, wasReady := readiness(before)
			_, isReady := readiness(after)
			return before.Labels[v1alpha1.LabelGateway] != after.Labels[v1alpha1.LabelGateway] || wasReady != isReady
		},
	}
}
