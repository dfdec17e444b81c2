package gatewaynode

import (
	"context"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/internal/requests"
	"github.com/tombolo-net/tombolo/controllers/internal/retry"
)

// SetUp adds the controller to the manager. One reconcile at a time, because lanes are assigned one
// by one.
func (r *Reconciler) SetUp(_ context.Context, mgr ctrl.Manager) error {
	return retry.Controller(mgr, "gatewaynode", 1).
		For(&v1alpha1.GatewayNode{}).
		WatchesRawSource(r.Hub.OnChange(r.all)).
		WatchesRawSource(r.Hub.Watch(&v1alpha1.GatewayNode{}, r.ifOurs)).
		Complete(r)
}

// all are the local GatewayNodes.
func (r *Reconciler) all(ctx context.Context, _ client.Object) []reconcile.Request {
	return requests.List(ctx, r.Client, &v1alpha1.GatewayNodeList{}, client.InNamespace(r.Namespace))
}

// ifOurs maps a copy on the hub to the GatewayNode, which is named after its node.
func (r *Reconciler) ifOurs(_ context.Context, obj client.Object) []reconcile.Request {
	if !r.Hub.Ours(obj) {
		return nil
	}
	return requests.For(r.Namespace, obj.(*v1alpha1.GatewayNode).Spec.NodeName)
}
