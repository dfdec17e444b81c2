// Package gatewaynode owns the lanes of this cluster's gateways, and the copies of its GatewayNodes on the hub. It does
// not write what gateways say of themselves, and reads none of other clusters (package remotecluster does).
package gatewaynode

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/hub"
	"github.com/tombolo-net/tombolo/controllers/internal/retry"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// +kubebuilder:rbac:groups=clusterset.tombolo.dev,namespace=tombolo-system,resources=gatewaynodes,verbs=get;list;watch
// +kubebuilder:rbac:groups=clusterset.tombolo.dev,namespace=tombolo-system,resources=gatewaynodes/status,verbs=get;update;patch

// errNoLane is when a cluster has more gateways than lanes.
var errNoLane = errors.New("all lanes are held")

// Reconciler keeps the lane and the copy of one GatewayNode.
type Reconciler struct {
	Client    client.Client // required, of this cluster, cached
	Direct    client.Reader // required, of this cluster, not cached: two gateways must not get one lane
	Hub       *hub.Hub      // required
	Namespace string        // required, the operator's
}

// SetUp adds the controller to the manager. One reconcile at a time: lanes are given out one by one.
func (r *Reconciler) SetUp(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("gatewaynode").
		WithOptions(retry.Options(1)).
		For(&v1alpha1.GatewayNode{}).
		WatchesRawSource(r.Hub.OnChange(r.all)).
		WatchesRawSource(r.Hub.Watch(&v1alpha1.GatewayNode{}, r.ifOurs)).
		Complete(r)
}

// all are the local GatewayNodes.
func (r *Reconciler) all(ctx context.Context) []reconcile.Request {
	list := &v1alpha1.GatewayNodeList{}
	if err := r.Client.List(ctx, list, client.InNamespace(r.Namespace)); err != nil {
		logf.FromContext(ctx).Error(err, "cannot list GatewayNodes")
	}
	var requests []reconcile.Request
	for i := range list.Items {
		requests = append(requests, r.request(list.Items[i].Name))
	}
	return requests
}

// ifOurs maps a copy on the hub to the GatewayNode, which is named after its node.
func (r *Reconciler) ifOurs(_ context.Context, obj client.Object) []reconcile.Request {
	view, err := r.Hub.View()
	if err != nil || clusterset.SourceCluster(obj.GetLabels()) != view.Cluster {
		return nil
	}
	return []reconcile.Request{r.request(obj.(*v1alpha1.GatewayNode).Spec.NodeName)}
}

func (r *Reconciler) request(name string) reconcile.Request {
	return reconcile.Request{NamespacedName: client.ObjectKey{Namespace: r.Namespace, Name: name}}
}

// Reconcile gives the GatewayNode a lane if it has none, and makes its copy on the hub like it, or removes the copy.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	local := &v1alpha1.GatewayNode{}
	if err := r.Client.Get(ctx, request.NamespacedName, local); err != nil {
		if !apierrors.IsNotFound(err) {
			return reconcile.Result{}, fmt.Errorf("reading GatewayNode %s: %w", request, err)
		}
		local = nil
	}
	if local != nil && local.Status.Lane == nil {
		if err := r.giveLane(ctx, local); err != nil {
			return retry.Result(err)
		}
	}
	view, err := r.Hub.View()
	if err != nil || !view.Authoritative {
		return reconcile.Result{}, nil //nolint:nilerr // a change of the connection brings us back
	}
	if local == nil || local.DeletionTimestamp != nil || view.Removed {
		return retry.Result(withdraw(ctx, view, request))
	}
	return retry.Result(publish(ctx, view, local))
}

// giveLane gives the smallest free lane, for the GatewayNode's life.
func (r *Reconciler) giveLane(ctx context.Context, local *v1alpha1.GatewayNode) error {
	all := &v1alpha1.GatewayNodeList{}
	if err := r.Direct.List(ctx, all, client.InNamespace(r.Namespace)); err != nil {
		return fmt.Errorf("listing GatewayNodes: %w", err)
	}
	for _, node := range all.Items {
		if node.Name == local.Name && node.Status.Lane != nil {
			local.Status.Lane = node.Status.Lane
			return nil
		}
	}
	lane, free := clusterset.FreeLane(all.Items)
	if !free {
		return reconcile.TerminalError(fmt.Errorf("giving GatewayNode %s a lane: %w: a cluster has at most %d gateways; remove the label %s from a node",
			local.Name, errNoLane, v1alpha1.MaxLanes, v1alpha1.LabelGateway))
	}
	before := local.DeepCopy()
	local.Status.Lane = ptr.To(lane)
	if err := r.Client.Status().Patch(ctx, local, client.MergeFrom(before)); err != nil {
		return fmt.Errorf("giving GatewayNode %s lane %d: %w", local.Name, lane, err)
	}
	logf.FromContext(ctx).Info("lane given", "lane", lane)
	return nil
}

// publish writes the copy where it differs: spec and lane. How the gateway is stays at home.
func publish(ctx context.Context, view hub.View, local *v1alpha1.GatewayNode) error {
	have, err := copyOf(ctx, view, local.Namespace, local.Name)
	if err != nil {
		return err
	}
	want := &v1alpha1.GatewayNode{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: view.Namespace,
			Name:      clusterset.HubName(view.Cluster, local.Namespace, local.Name),
			Labels:    map[string]string{v1alpha1.LabelSourceCluster: string(view.Cluster)},
		},
		Spec: local.Spec,
	}
	current := have
	switch {
	case have == nil:
		current = want
		err = view.Writer.Create(ctx, want)
	case !equality.Semantic.DeepEqual(have.Spec, want.Spec) || !equality.Semantic.DeepEqual(have.Labels, want.Labels):
		want.ResourceVersion = have.ResourceVersion
		current = want
		err = view.Writer.Update(ctx, want)
	}
	if err != nil {
		return fmt.Errorf("publishing GatewayNode %s: %w", local.Name, err)
	}
	status := v1alpha1.GatewayNodeStatus{Lane: local.Status.Lane}
	if equality.Semantic.DeepEqual(current.Status, status) {
		return nil
	}
	current.Status = status
	if err := view.Writer.Status().Update(ctx, current); err != nil {
		return fmt.Errorf("publishing the lane of GatewayNode %s: %w", local.Name, err)
	}
	return nil
}

func withdraw(ctx context.Context, view hub.View, request reconcile.Request) error {
	have, err := copyOf(ctx, view, request.Namespace, request.Name)
	if err != nil || have == nil {
		return err
	}
	return client.IgnoreNotFound(view.Writer.Delete(ctx, have))
}

// copyOf returns the copy on the hub, nil if there is none.
func copyOf(ctx context.Context, view hub.View, namespace, name string) (*v1alpha1.GatewayNode, error) {
	return view.Gateway(ctx, clusterset.HubName(view.Cluster, namespace, name))
}
