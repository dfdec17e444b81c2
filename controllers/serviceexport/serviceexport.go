// Package serviceexport owns what this cluster publishes on the hub of its exported Services, ExportedServices and
// EndpointSlices, and the conditions of ServiceExports. It does not import, and does not tell others that an unexport is
// meant (package heartbeat does).
package serviceexport

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/hub"
	"github.com/tombolo-net/tombolo/controllers/internal/retry"
	"github.com/tombolo-net/tombolo/controllers/mcs"
	"github.com/tombolo-net/tombolo/controllers/mcs/pack"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// Reconciler exports the Service of one namespace/name, or withdraws it.
type Reconciler struct {
	Client client.Client // required, of this cluster, cached
	Hub    *hub.Hub      // required
}

// Reconcile makes the hub hold what the ServiceExport asks for: nothing if there is none, or if it is not valid or not
// allowed.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	export, err := r.export(ctx, request)
	if err != nil {
		return reconcile.Result{}, err
	}
	view, notConnected := r.Hub.View()
	if export == nil {
		if notConnected != nil || !view.Authoritative {
			return reconcile.Result{}, nil // what is left on the hub brings us back once there is a connection
		}
		_, err := publish(ctx, view, request.NamespacedName, nothing)
		return retry.Result(err)
	}
	state := outcome{notConnected: notConnected}
	if state.service, err = r.service(ctx, request); err != nil {
		return reconcile.Result{}, err
	}
	if notConnected == nil {
		err = r.exportTo(ctx, view, export, &state)
	}
	if retry.Behind(err) {
		return retry.Result(err)
	}
	state.err = err
	if waiting := new(hub.NotConnectedError); errors.As(err, &waiting) {
		err = nil // the connection brings us back
	}
	return retry.Result(errors.Join(err, r.writeStatus(ctx, export, state)))
}

// exportTo makes the hub hold what it may hold of the Service, and notes in state what that is.
func (r *Reconciler) exportTo(ctx context.Context, view hub.View, export *mcsv1beta1.ServiceExport, state *outcome) error {
	key := client.ObjectKeyFromObject(export)
	want, err := r.wanted(ctx, view, export, state)
	if err != nil || state.notConnected != nil {
		return err
	}
	if state.exported, err = publish(ctx, view, key, want); err != nil {
		return err
	}
	state.conflict, err = r.conflict(ctx, view, key, state.exported)
	return err
}

// wanted is what the hub is to hold, and why that may be nothing.
func (r *Reconciler) wanted(ctx context.Context, view hub.View, export *mcsv1beta1.ServiceExport, state *outcome) (publication, error) {
	service := state.service
	if _, _, valid := clusterset.ValidateExport(export.Namespace, export.Name, service); !valid {
		return nothing, nil
	}
	if view.Removed {
		state.removed = true
		return nothing, nil
	}
	set := &v1alpha1.ClusterSet{}
	if err := r.Client.Get(ctx, client.ObjectKey{Name: v1alpha1.ClusterSetName}, set); err != nil {
		if apierrors.IsNotFound(err) { // the connection is about to notice
			state.notConnected = errors.New("there is no ClusterSet default")
			return nothing, nil
		}
		return nothing, fmt.Errorf("reading ClusterSet %s: %w", v1alpha1.ClusterSetName, err)
	}
	allowed, err := Allowed(ctx, r.Client, set, export.Namespace)
	if err != nil {
		return nothing, err
	}
	if !allowed {
		state.selector = set.Spec.ExportNamespaces
		return nothing, nil
	}
	member, err := view.Member(ctx, view.Cluster)
	if err != nil {
		return nothing, err
	}
	if member == nil { // the connection is about to notice
		state.notConnected = errors.New("the hub has no Member for this cluster")
		return nothing, nil
	}
	local := &discoveryv1.EndpointSliceList{}
	if err := r.Client.List(ctx, local, client.InNamespace(service.Namespace),
		client.MatchingLabels{discoveryv1.LabelServiceName: service.Name}); err != nil {
		return nothing, fmt.Errorf("listing EndpointSlices of Service %s/%s: %w", service.Namespace, service.Name, err)
	}
	publisher := pack.Publisher{
		Cluster: view.Cluster, HubNamespace: view.Namespace,
		CIDRs: clusterset.Prefixes(member.Spec.CIDRs), EndpointsPerSlice: int(set.Spec.EndpointsPerSlice),
	}
	state.offer = publisher.Offer(service, local.Items)
	return publication{
		export: mcs.ExportedServiceFor(view.Cluster, view.Namespace, service, export),
		pack: func(have []discoveryv1.EndpointSlice) pack.Packing {
			return publisher.Pack(service, state.offer, have)
		},
	}, nil
}

// export returns the ServiceExport, nil if there is none or it is being deleted.
func (r *Reconciler) export(ctx context.Context, request reconcile.Request) (*mcsv1beta1.ServiceExport, error) {
	export := &mcsv1beta1.ServiceExport{}
	if err := r.Client.Get(ctx, request.NamespacedName, export); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, nil
		}
		return nil, fmt.Errorf("reading ServiceExport %s: %w", request, err)
	}
	if export.DeletionTimestamp != nil {
		return nil, nil
	}
	return export, nil
}

// service returns the Service, nil if there is none or it is being deleted.
func (r *Reconciler) service(ctx context.Context, request reconcile.Request) (*corev1.Service, error) {
	service := &corev1.Service{}
	if err := r.Client.Get(ctx, request.NamespacedName, service); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, nil
		}
		return nil, fmt.Errorf("reading Service %s: %w", request, err)
	}
	if service.DeletionTimestamp != nil {
		return nil, nil
	}
	return service, nil
}
