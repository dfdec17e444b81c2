// Package derivedservice owns derived Services (KEP-1645): beside each ServiceImport that
// ClusterSet.spec.derivedServices selects, a Service without selector, its EndpointSlices, and the
// import's annotation that names it. What they say is in package derived. It writes neither imported
// slices nor anything else of the import, and touches no Service of others.
package derivedservice

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/internal/optional"
	"github.com/tombolo-net/tombolo/controllers/internal/retry"
	"github.com/tombolo-net/tombolo/controllers/mcs"
	"github.com/tombolo-net/tombolo/controllers/mcs/derived"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// +kubebuilder:rbac:groups="",resources=services,verbs=get;list;watch;create;update;delete
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get;list;watch
// +kubebuilder:rbac:groups="";events.k8s.io,resources=events,verbs=create;patch
// +kubebuilder:rbac:groups=discovery.k8s.io,resources=endpointslices,verbs=get;list;watch;create;update;delete
// +kubebuilder:rbac:groups=multicluster.x-k8s.io,resources=serviceimports,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=clusterset.tombolo.dev,resources=clustersets;remoteclusters,verbs=get;list;watch

const (
	// concurrent imports are worked on at a time: each waits for the API server's answer.
	concurrent = 8
	// refusedFor is after what time we try again to make a Service that could not be made. What was in
	// the way (a quota, somebody else's Service) wakes nobody when it goes.
	refusedFor = time.Minute
	// fieldOwner is not the name under which package serviceimport writes: that package removes
	// annotations of its own that it does not want.
	fieldOwner = client.FieldOwner("tombolo-derivedservice")
)

// Reconciler maintains the derived Service of one ServiceImport.
type Reconciler struct {
	Client client.Client        // required, of this cluster, cached, with the indexes that Index makes
	Events events.EventRecorder // required
}

// Reconcile makes the derived Service what the ServiceImport and its slices are, or deletes it. The
// garbage collector deletes it with the ServiceImport, and its slices with it.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	set, err := optional.ClusterSet(ctx, r.Client)
	if err != nil || set == nil {
		return reconcile.Result{}, err
	}
	owner, err := optional.GetUndeleted[mcsv1beta1.ServiceImport](ctx, r.Client, request.NamespacedName)
	if err != nil || owner == nil {
		return reconcile.Result{}, err
	}
	name := clusterset.DerivedServiceName(owner.Namespace, owner.Name)
	have, err := optional.Get[corev1.Service](ctx, r.Client, client.ObjectKey{Namespace: owner.Namespace, Name: name})
	if err != nil {
		return reconcile.Result{}, err
	}
	var want *corev1.Service
	selected, err := r.selected(ctx, set, owner)
	switch {
	case err != nil:
		return reconcile.Result{}, err
	case selected == unclear: // what there is stays
		return reconcile.Result{}, nil
	case selected == yes:
		want = derived.Service(owner, name)
	}
	if have != nil && !derived.Ours(have) {
		if want == nil {
			return reconcile.Result{}, nil
		}
		r.Events.Eventf(owner, nil, corev1.EventTypeWarning, v1alpha1.ReasonNotOurs, "Derive",
			"there is no derived Service: somebody else has made Service %s in this namespace; delete it", name)
		return reconcile.Result{RequeueAfter: refusedFor}, nil
	}
	return r.sync(ctx, owner, have, want)
}

// sync makes the Service and all that belongs to it what is wanted: nothing, if want is nil.
func (r *Reconciler) sync(ctx context.Context, owner *mcsv1beta1.ServiceImport, have, want *corev1.Service) (reconcile.Result, error) {
	if want == nil {
		return retry.Result(errors.Join(r.annotate(ctx, owner, ""), r.delete(ctx, have)))
	}
	service, err := r.write(ctx, have, want)
	switch {
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return reconcile.Result{}, nil
	case apierrors.IsForbidden(err), apierrors.IsInvalid(err):
		r.Events.Eventf(owner, nil, corev1.EventTypeWarning, "Refused", "Derive", "the API server refuses the derived Service: %s",
			clusterset.Clip(err.Error(), longestReason))
		return reconcile.Result{RequeueAfter: refusedFor}, nil
	case err != nil || service == nil:
		return retry.Result(err)
	}
	if err := r.writeSlices(ctx, owner, service); err != nil {
		return retry.Result(err)
	}
	return retry.Result(r.annotate(ctx, owner, service.Name))
}

// longestReason is how much of what the API server says goes into an event.
const longestReason = 300

// write writes the Service if it differs, and returns it. If the Service has to be replaced, write
// deletes it and returns nil. The deletion wakes the controller, which then creates the new one.
func (r *Reconciler) write(ctx context.Context, have, want *corev1.Service) (*corev1.Service, error) {
	if have == nil {
		if err := r.Client.Create(ctx, want, fieldOwner); err != nil {
			return nil, err
		}
		logf.FromContext(ctx).Info("made a derived Service", "service", want.Name)
		return want, nil
	}
	if have.DeletionTimestamp != nil {
		return nil, nil
	}
	if derived.Replaced(have, want) {
		return nil, r.delete(ctx, have)
	}
	amended, changed := derived.Amend(have, want)
	if !changed {
		return have, nil
	}
	return amended, r.Client.Update(ctx, amended, fieldOwner)
}

// writeSlices makes the Service's slices copies of the imported ones.
func (r *Reconciler) writeSlices(ctx context.Context, owner *mcsv1beta1.ServiceImport, service *corev1.Service) error {
	imported, err := r.slices(ctx, indexImport, owner)
	if err != nil {
		return err
	}
	imported = ofExporters(imported, owner)
	have, err := r.slices(ctx, indexDerived, service)
	if err != nil {
		return err
	}
	reachable, err := r.reachable(ctx)
	if err != nil {
		return err
	}
	change := derived.Diff(have, derived.Slices(service, imported, reachable))
	var errs []error
	for i := range change.Create {
		errs = append(errs, r.Client.Create(ctx, &change.Create[i], fieldOwner))
	}
	for i := range change.Update {
		errs = append(errs, r.Client.Update(ctx, &change.Update[i], fieldOwner))
	}
	for i := range change.Delete {
		errs = append(errs, r.Client.Delete(ctx, &change.Delete[i], client.Preconditions{UID: &change.Delete[i].UID}))
	}
	return first(errs)
}

// first is the first error that says more than that the cache was behind, or else the first one. The
// others come again. A namespace that ends ends the import, too, and is no error.
func first(errs []error) error {
	var behind error
	for _, err := range errs {
		switch {
		case err == nil, apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		case retry.Behind(err):
			behind = err
		default:
			return fmt.Errorf("writing EndpointSlices of a derived Service: %w", err)
		}
	}
	return behind
}

// ofExporters leaves out slices of clusters that export the Service no more: they are about to go.
func ofExporters(imported []discoveryv1.EndpointSlice, owner *mcsv1beta1.ServiceImport) []discoveryv1.EndpointSlice {
	var kept []discoveryv1.EndpointSlice
	for i := range imported {
		if mcs.ImportsFrom(owner, clusterset.SourceCluster(imported[i].Labels)) {
			kept = append(kept, imported[i])
		}
	}
	return kept
}

// slices are the EndpointSlices that the index has for the object.
func (r *Reconciler) slices(ctx context.Context, index string, of client.Object) ([]discoveryv1.EndpointSlice, error) {
	list := &discoveryv1.EndpointSliceList{}
	if err := r.Client.List(ctx, list, client.InNamespace(of.GetNamespace()), client.MatchingFields{index: of.GetName()}); err != nil {
		return nil, fmt.Errorf("listing EndpointSlices of %s/%s: %w", of.GetNamespace(), of.GetName(), err)
	}
	return list.Items, nil
}

// reachable returns whether flows reach a cluster: this one always.
func (r *Reconciler) reachable(ctx context.Context) (func(v1alpha1.ClusterID) bool, error) {
	list := &v1alpha1.RemoteClusterList{}
	if err := r.Client.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing RemoteClusters: %w", err)
	}
	lost := map[v1alpha1.ClusterID]bool{}
	for i := range list.Items {
		if unreachable(&list.Items[i]) {
			lost[v1alpha1.ClusterID(list.Items[i].Name)] = true
		}
	}
	return func(cluster v1alpha1.ClusterID) bool { return !lost[cluster] }, nil
}

// delete deletes the Service, if there is one.
func (r *Reconciler) delete(ctx context.Context, have *corev1.Service) error {
	if have == nil || have.DeletionTimestamp != nil {
		return nil
	}
	if err := r.Client.Delete(ctx, have, client.Preconditions{UID: &have.UID}); err != nil {
		return client.IgnoreNotFound(err)
	}
	logf.FromContext(ctx).Info("deleted a derived Service", "service", have.Name)
	return nil
}

// annotate names the derived Service in the import's annotation, or removes it for an empty name.
func (r *Reconciler) annotate(ctx context.Context, owner *mcsv1beta1.ServiceImport, name string) error {
	if owner.Annotations[v1alpha1.AnnotationDerivedService] == name {
		return nil
	}
	annotated := owner.DeepCopy()
	if name == "" {
		delete(annotated.Annotations, v1alpha1.AnnotationDerivedService)
	} else {
		if annotated.Annotations == nil {
			annotated.Annotations = map[string]string{}
		}
		annotated.Annotations[v1alpha1.AnnotationDerivedService] = name
	}
	if err := r.Client.Patch(ctx, annotated, client.MergeFrom(owner), fieldOwner); err != nil {
		return fmt.Errorf("annotating ServiceImport %s/%s: %w", owner.Namespace, owner.Name, err)
	}
	return nil
}
