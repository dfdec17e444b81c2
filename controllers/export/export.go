// Package export owns what this cluster publishes on the hub of its exported Services, ExportedServices and
// EndpointSlices, and the conditions Valid and Ready of ServiceExports. It does not import, and does not tell others
// that an unexport is meant (package heartbeat does).
package export

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/hub"
	"github.com/tombolo-net/tombolo/controllers/mcs"
	"github.com/tombolo-net/tombolo/controllers/retry"
)

// Reconciler exports the Service of one namespace/name, or withdraws it.
type Reconciler struct {
	Client client.Client // required, of this cluster, cached
	Hub    *hub.Hub      // required
}

// Reconcile makes the hub hold what the ServiceExport asks for: nothing if there is none or if it is not valid.
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
		return retry.Result(publish(ctx, view, request.Namespace, request.Name, publication{}))
	}
	service, err := r.service(ctx, request)
	if err != nil {
		return reconcile.Result{}, err
	}
	state := outcome{service: service}
	switch _, _, valid := mcs.ValidateExport(request.Namespace, request.Name, service); {
	case notConnected != nil:
		state.notConnected = notConnected
	case view.Removed:
		state.removed = true
		err = publish(ctx, view, request.Namespace, request.Name, publication{})
	case !valid:
		if view.Authoritative {
			err = publish(ctx, view, request.Namespace, request.Name, publication{})
		}
	default:
		err = r.exportTo(ctx, view, service, export, &state)
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

// exportTo publishes the Service and notes in state what could not be.
func (r *Reconciler) exportTo(ctx context.Context, view hub.View, service *corev1.Service, export *mcsv1beta1.ServiceExport, state *outcome) error {
	member, err := view.Member(ctx, view.Cluster)
	if err != nil {
		return err
	}
	if member == nil { // the connection is about to notice
		state.notConnected = errors.New("the hub has no Member for this cluster")
		return nil
	}
	local := &discoveryv1.EndpointSliceList{}
	if err := r.Client.List(ctx, local, client.InNamespace(service.Namespace),
		client.MatchingLabels{discoveryv1.LabelServiceName: service.Name}); err != nil {
		return fmt.Errorf("listing EndpointSlices of Service %s/%s: %w", service.Namespace, service.Name, err)
	}
	publisher := mcs.Publisher{Cluster: view.Cluster, HubNamespace: view.Namespace, CIDRs: mcs.Prefixes(member.Spec.CIDRs)}
	want := publication{service: mcs.ExportedServiceFor(view.Cluster, view.Namespace, service, export)}
	want.slices, state.outside = publisher.HubSlices(service, local.Items)
	state.cidrs = member.Spec.CIDRs
	for _, s := range want.slices {
		state.published += len(s.Endpoints)
	}
	return publish(ctx, view, service.Namespace, service.Name, want)
}

// publication is what the hub holds of one Service of this cluster; the zero value is nothing.
type publication struct {
	service *v1alpha1.ExportedService
	slices  []discoveryv1.EndpointSlice
}

// publish makes the hub hold just that, in the order in which others need it: the Service before its slices, and when
// it goes, too. Nothing is written where nothing differs.
func publish(ctx context.Context, view hub.View, namespace, name string, want publication) error {
	have, err := view.Export(ctx, view.Cluster, namespace, name)
	if err != nil {
		return err
	}
	slices, err := view.Slices(ctx, view.Cluster, namespace, name)
	if err != nil {
		return err
	}
	serviceDiffers := !sameExport(have, want.service)
	puts, deletes := diffSlices(slices, want.slices)
	if !serviceDiffers && len(puts) == 0 && len(deletes) == 0 {
		return nil
	}
	if !view.Authoritative {
		return &hub.NotConnectedError{Status: hub.Status{Reason: v1alpha1.ReasonUnreachable, Message: "a change waits to be published"}}
	}
	if serviceDiffers {
		if err := putService(ctx, view, have, want.service); err != nil {
			return fmt.Errorf("publishing Service %s/%s: %w", namespace, name, err)
		}
	}
	return writeSlices(ctx, view, puts, deletes)
}

func sameExport(have, want *v1alpha1.ExportedService) bool {
	if have == nil || want == nil {
		return have == want
	}
	return equality.Semantic.DeepEqual(have.Labels, want.Labels) && equality.Semantic.DeepEqual(have.Spec, want.Spec)
}

func putService(ctx context.Context, view hub.View, have, want *v1alpha1.ExportedService) error {
	switch {
	case want == nil:
		return client.IgnoreNotFound(view.Writer.Delete(ctx, have))
	case have == nil:
		return view.Writer.Create(ctx, want)
	}
	want.ResourceVersion = have.ResourceVersion
	return view.Writer.Update(ctx, want)
}

// diffSlices returns the slices to write, those with a resource version to update, and those to delete.
func diffSlices(have, want []discoveryv1.EndpointSlice) (puts, deletes []*discoveryv1.EndpointSlice) {
	existing := make(map[string]*discoveryv1.EndpointSlice, len(have))
	for i := range have {
		existing[have[i].Name] = &have[i]
	}
	for i := range want {
		old := existing[want[i].Name]
		delete(existing, want[i].Name)
		switch {
		case old == nil:
			puts = append(puts, &want[i])
		case old.AddressType != want[i].AddressType: // immutable: a new one comes in the next round
			deletes = append(deletes, old)
		case !mcs.SameSlice(old, &want[i]):
			want[i].ResourceVersion = old.ResourceVersion
			puts = append(puts, &want[i])
		}
	}
	for i := range have {
		if _, surplus := existing[have[i].Name]; surplus {
			deletes = append(deletes, &have[i])
		}
	}
	return puts, deletes
}

func writeSlices(ctx context.Context, view hub.View, puts, deletes []*discoveryv1.EndpointSlice) error {
	var errs []error
	for _, s := range puts {
		write := func() error { return view.Writer.Create(ctx, s) }
		if s.ResourceVersion != "" {
			write = func() error { return view.Writer.Update(ctx, s) }
		}
		if err := write(); err != nil {
			errs = append(errs, fmt.Errorf("publishing EndpointSlice %s: %w", s.Name, err))
		}
	}
	for _, s := range deletes {
		if err := view.Writer.Delete(ctx, s); client.IgnoreNotFound(err) != nil {
			errs = append(errs, fmt.Errorf("withdrawing EndpointSlice %s: %w", s.Name, err))
		}
	}
	return errors.Join(errs...)
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
