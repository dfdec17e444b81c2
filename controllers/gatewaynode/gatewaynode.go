// Package gatewaynode owns the lanes of this cluster's gateways, and the copies of its GatewayNodes
// on the hub. It does not write what gateways say of themselves. It does not read other clusters'
// GatewayNodes (package remotecluster does).
package gatewaynode

import (
	"context"
	"errors"
	"fmt"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/hub"
	"github.com/tombolo-net/tombolo/controllers/internal/optional"
	"github.com/tombolo-net/tombolo/controllers/internal/retry"
	"github.com/tombolo-net/tombolo/controllers/internal/status"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// errNoLane is the error for a cluster that has more gateways than lanes.
var errNoLane = errors.New("all lanes are assigned")

// +kubebuilder:rbac:groups=clusterset.tombolo.dev,namespace=tombolo-system,resources=gatewaynodes,verbs=get;list;watch
// +kubebuilder:rbac:groups=clusterset.tombolo.dev,namespace=tombolo-system,resources=gatewaynodes/status,verbs=get;update;patch

// Reconciler maintains the lane and the copy of one GatewayNode.
type Reconciler struct {
	Client    client.Client // required, of this cluster, cached
	Direct    client.Reader // required, of this cluster, not cached: two gateways must not get one lane
	Hub       *hub.Hub      // required
	Namespace string        // required, the operator's
}

// Reconcile assigns a lane to a GatewayNode without one. It then makes the copy on the hub like the
// GatewayNode, or deletes the copy.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	local, err := optional.Get[v1alpha1.GatewayNode](ctx, r.Client, request.NamespacedName)
	if err != nil {
		return reconcile.Result{}, err
	}
	if local != nil && local.Status.Lane == nil {
		if err := r.assignLane(ctx, local); err != nil {
			return retry.Result(err)
		}
	}
	view, err := r.Hub.View()
	if err != nil || !view.Authoritative {
		return reconcile.Result{}, nil //nolint:nilerr // a change of the connection brings us back
	}
	if err := withdrawFormer(ctx, view, request); err != nil {
		return retry.Result(err)
	}
	if local == nil || local.DeletionTimestamp != nil || view.Removed {
		return retry.Result(withdraw(ctx, view, request))
	}
	return retry.Result(publish(ctx, view, local))
}

// assignLane writes the smallest free lane into the GatewayNode, which keeps it for its life.
func (r *Reconciler) assignLane(ctx context.Context, local *v1alpha1.GatewayNode) error {
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
		return reconcile.TerminalError(fmt.Errorf("assigning GatewayNode %s a lane: %w: a cluster has at most %d gateways; remove the label %s from a node",
			local.Name, errNoLane, v1alpha1.MaxLanes, v1alpha1.LabelGateway))
	}
	before := local.DeepCopy()
	local.Status.Lane = ptr.To(lane)
	if err := status.Patch(ctx, r.Client, before, local); err != nil {
		return fmt.Errorf("assigning lane %d: %w", lane, err)
	}
	logf.FromContext(ctx).Info("lane assigned", "lane", lane)
	return nil
}

// publish writes the copy where it differs. A copy has the spec, without the node's own addresses, and
// the lane; the rest of the status stays here. A new copy waits until the gateway has its ports.
func publish(ctx context.Context, view hub.View, local *v1alpha1.GatewayNode) error {
	have, err := copyOf(ctx, view, local.Namespace, local.Name)
	if err != nil || have == nil && !clusterset.MayPublish(local) {
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
	want.Spec.UnderlayAddresses = nil // of no use to other clusters
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

// withdrawFormer deletes copies that the gateway has under other names. An installation of tombolo
// in another namespace left them: their keys are gone, and other clusters would still use them.
func withdrawFormer(ctx context.Context, view hub.View, request reconcile.Request) error {
	copies, err := view.Gateways(ctx, view.Cluster)
	if err != nil {
		return err
	}
	name := clusterset.HubName(view.Cluster, request.Namespace, request.Name)
	var errs []error
	for i := range copies {
		if copies[i].Spec.NodeName == request.Name && copies[i].Name != name {
			errs = append(errs, client.IgnoreNotFound(view.Writer.Delete(ctx, &copies[i])))
		}
	}
	return errors.Join(errs...)
}

// copyOf returns the copy on the hub, nil if there is none.
func copyOf(ctx context.Context, view hub.View, namespace, name string) (*v1alpha1.GatewayNode, error) {
	return view.Gateway(ctx, clusterset.HubName(view.Cluster, namespace, name))
}
