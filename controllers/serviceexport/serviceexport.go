// Package serviceexport owns what this cluster publishes on the hub for its exported Services:
// ExportedServices and EndpointSlices. It also owns the conditions of ServiceExports. It does not
// import. It does not tell other clusters that an unexport is meant (package heartbeat does).
package serviceexport

import (
	"context"
	"errors"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/controllers/hub"
	"github.com/tombolo-net/tombolo/controllers/internal/holders"
	"github.com/tombolo-net/tombolo/controllers/internal/optional"
	"github.com/tombolo-net/tombolo/controllers/internal/retry"
	"github.com/tombolo-net/tombolo/controllers/mcs"
)

// +kubebuilder:rbac:groups=multicluster.x-k8s.io,resources=serviceexports,verbs=get;list;watch
// +kubebuilder:rbac:groups=multicluster.x-k8s.io,resources=serviceexports/status,verbs=get;update;patch
// +kubebuilder:rbac:groups=multicluster.x-k8s.io,resources=serviceimports,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=services;namespaces,verbs=get;list;watch
// +kubebuilder:rbac:groups=discovery.k8s.io,resources=endpointslices,verbs=get;list;watch
// +kubebuilder:rbac:groups=clusterset.tombolo.dev,resources=clustersets;exportpolicies;remoteclusters,verbs=get;list;watch

// concurrent reconciles run at a time: each waits for the hub's answer.
const concurrent = 8

// Reconciler exports the Service of one namespace/name, or withdraws it.
type Reconciler struct {
	Client client.Client // required, of this cluster, cached
	Hub    *hub.Hub      // required
	// Namespace that the operator runs in.
	Namespace string // required
	// Holders tells who has the addresses of hand-written slices.
	Holders directory // required

	examined examined
}

// Reconcile makes the hub hold what the ServiceExport asks for. The hub holds nothing if there is
// no ServiceExport, or if it is not valid or not allowed.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	export, err := optional.GetUndeleted[mcsv1beta1.ServiceExport](ctx, r.Client, request.NamespacedName)
	if err != nil {
		return reconcile.Result{}, err
	}
	if export == nil {
		r.examined.set(request.NamespacedName, nil)
		return retry.Result(r.withdraw(ctx, request.NamespacedName))
	}
	service, err := optional.GetUndeleted[corev1.Service](ctx, r.Client, request.NamespacedName)
	if err != nil {
		return reconcile.Result{}, err
	}
	published, err := r.publish(ctx, export, service)
	if retry.Behind(err) {
		return retry.Result(err)
	}
	if errors.Is(err, holders.ErrUnknown) {
		return retry.Again(), nil
	}
	statusErr := r.writeStatus(ctx, export, service, published, err)
	if waits(err) {
		err = nil // a change of the connection brings us back
	}
	return retry.Result(errors.Join(err, statusErr))
}

// withdraw removes from the hub what was published for a ServiceExport that is gone.
func (r *Reconciler) withdraw(ctx context.Context, service client.ObjectKey) error {
	view, err := r.Hub.View()
	if err != nil || !view.Authoritative {
		return nil //nolint:nilerr // what is left on the hub brings us back once there is a connection
	}
	have, err := readHub(ctx, view, service)
	if err != nil {
		return err
	}
	_, err = apply(ctx, view, have.changeTo(publication{}))
	return err
}

// result is how publishing went.
type result struct {
	publication
	exported bool          // the hub has the ExportedService
	conflict *mcs.Conflict // nil if unknown
}

// publish makes the hub hold what it may hold of the Service.
func (r *Reconciler) publish(ctx context.Context, export *mcsv1beta1.ServiceExport, service *corev1.Service) (result, error) {
	view, err := r.Hub.View()
	if err != nil {
		return result{}, &waitingError{err.Error()}
	}
	key := client.ObjectKeyFromObject(export)
	have, err := readHub(ctx, view, key)
	if err != nil {
		return result{}, err
	}
	want, err := r.wanted(ctx, view, export, service, have)
	if err != nil {
		return result{}, err
	}
	exported, err := apply(ctx, view, have.changeTo(want))
	if err != nil || !exported {
		return result{publication: want, exported: exported}, err
	}
	conflict, err := r.conflict(ctx, view, key)
	return result{publication: want, exported: exported, conflict: conflict}, err
}

// waitingError says why nothing can be published yet. Nothing on the hub is changed meanwhile.
type waitingError struct{ why string }

func (e *waitingError) Error() string { return e.why }

// waits tells whether the error ends with a change of the connection.
func waits(err error) bool {
	return errors.As(err, new(*waitingError)) || errors.As(err, new(*hub.NotConnectedError))
}
