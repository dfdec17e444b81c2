// Package endpointslice owns the imported EndpointSlices: one for each slice on the hub of a
// cluster that the ServiceImport imports from (package serviceimport decides that). It makes one
// write for each change. It does not touch slices that tombolo did not write, and publishes none
// (package serviceexport does).
package endpointslice

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/hub"
	"github.com/tombolo-net/tombolo/controllers/internal/optional"
	"github.com/tombolo-net/tombolo/controllers/internal/retry"
	"github.com/tombolo-net/tombolo/controllers/mcs"
	"github.com/tombolo-net/tombolo/controllers/mcs/screen"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// +kubebuilder:rbac:groups=discovery.k8s.io,resources=endpointslices,verbs=get;list;watch;create;update;patch;delete
// Slices are owned by their ServiceImport, with blockOwnerDeletion unset, so no right on finalizers
// is needed.
// +kubebuilder:rbac:groups=multicluster.x-k8s.io,resources=serviceimports,verbs=get;list;watch
// +kubebuilder:rbac:groups=clusterset.tombolo.dev,resources=remoteclusters,verbs=get;list;watch

// concurrent slices are written at a time: each waits for the API server's answer, not for our
// work.
const concurrent = 16

// Reconciler maintains one imported slice; it has the name of the slice on the hub.
type Reconciler struct {
	Client  client.Client // required, of this cluster, cached, with the indexes that Index makes
	Hub     *hub.Hub      // required
	Skipped skipped       // required, notes what cannot be used

	shares shares
}

// skipped notes what is skipped of what a cluster publishes (package skipped's Ledger).
type skipped interface {
	Note(cluster v1alpha1.ClusterID, object string, skipped ...screen.Skipped)
}

// Reconcile makes the imported slice what the hub's slice is. It deletes the imported slice when
// its cluster no longer exports the Service, or has other slices in its place.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	view, err := r.Hub.View()
	if err != nil {
		return reconcile.Result{}, nil //nolint:nilerr // what is imported stays; a change of the connection brings us back
	}
	have, err := optional.Get[discoveryv1.EndpointSlice](ctx, r.Client, request.NamespacedName)
	if err != nil {
		return reconcile.Result{}, err
	}
	published, err := view.Slice(ctx, request.Name)
	if err != nil {
		return reconcile.Result{}, err
	}
	if published != nil && published.Labels[v1alpha1.LabelNamespace] == request.Namespace {
		return retry.Result(r.importSlice(ctx, view, have, published))
	}
	if published == nil {
		cluster, _, _ := strings.Cut(request.Name, ".")
		r.Skipped.Note(v1alpha1.ClusterID(cluster), object(request.Name))
	}
	if have == nil || !ours(have) {
		return reconcile.Result{}, nil
	}
	return retry.Result(r.deleteIfGone(ctx, view, have))
}

// importSlice makes the imported slice what the published one is, or deletes it if nothing is
// imported from that cluster.
func (r *Reconciler) importSlice(ctx context.Context, view hub.View, have, published *discoveryv1.EndpointSlice) error {
	cluster := clusterset.SourceCluster(published.Labels)
	owner, err := r.owner(ctx, published.Labels[v1alpha1.LabelNamespace], published.Labels[v1alpha1.LabelServiceName])
	if err != nil {
		return err
	}
	if have != nil && !ours(have) && (owner == nil || !metav1.IsControlledBy(have, owner)) {
		return nil // somebody else's slice, and not one of ours that lost its label
	}
	if owner == nil || !mcs.ImportsFrom(owner, cluster) {
		return r.delete(ctx, have)
	}
	source, err := r.source(ctx, view, cluster, client.ObjectKeyFromObject(owner))
	if err != nil || source == nil {
		return err
	}
	share, err := r.shareOf(ctx, view, cluster)
	if err != nil {
		return err
	}
	if share.Out[published.Name] { // noted for the cluster as a whole
		return r.delete(ctx, have)
	}
	limited, tooMany := share.Limit(published, share.limits)
	want, left := importedSlice(limited, owner, *source, have)
	r.Skipped.Note(cluster, object(published.Name), append(left, tooMany...)...)
	if want == nil {
		return nil
	}
	return r.apply(ctx, have, want)
}

// apply writes the imported slice if it differs.
func (r *Reconciler) apply(ctx context.Context, have, want *discoveryv1.EndpointSlice) error {
	switch {
	case have == nil:
		return r.create(ctx, want)
	case have.AddressType != want.AddressType: // immutable: a new one comes in the next round
		return r.delete(ctx, have)
	case mcs.SameSlice(have, want):
		return nil
	}
	want.ResourceVersion = have.ResourceVersion
	return r.Client.Update(ctx, want)
}

// object is the name under which a slice on the hub is noted as skipped.
func object(name string) string { return "EndpointSlice " + name }

// deleteIfGone deletes a slice that the hub no longer has, if we may believe that. We may if the
// cluster no longer exports the Service. We also may if the cluster's export says that exactly
// those slices are on the hub that are there, and the cluster is live to say so.
func (r *Reconciler) deleteIfGone(ctx context.Context, view hub.View, have *discoveryv1.EndpointSlice) error {
	cluster, name := clusterset.SourceCluster(have.Labels), have.Labels[v1alpha1.LabelServiceName]
	owner, err := r.owner(ctx, have.Namespace, name)
	if err != nil {
		return err
	}
	if owner == nil || !mcs.ImportsFrom(owner, cluster) {
		return r.delete(ctx, have)
	}
	member, err := view.Member(ctx, cluster)
	if err != nil || member == nil {
		return err
	}
	if live, err := view.Live(ctx, cluster); err != nil || !live {
		return err
	}
	share, err := r.shareOf(ctx, view, cluster)
	if err != nil || share.Crowded[screen.ServiceKey{Namespace: have.Namespace, Name: name}] {
		return err // comparing thousands of names for each would cost too much; it is tried again when they are fewer
	}
	export, err := view.Export(ctx, cluster, have.Namespace, name)
	if err != nil || export == nil {
		return err
	}
	others, err := view.SlicesToRead(ctx, cluster, have.Namespace, name)
	if err != nil || clusterset.SliceSet(others) != export.Spec.SliceSet {
		return err
	}
	return r.delete(ctx, have)
}

// owner returns the ServiceImport, nil if there is none, or if it is not ours, or is being deleted.
func (r *Reconciler) owner(ctx context.Context, namespace, name string) (*mcsv1beta1.ServiceImport, error) {
	owner, err := optional.GetUndeleted[mcsv1beta1.ServiceImport](ctx, r.Client, client.ObjectKey{Namespace: namespace, Name: name})
	if err != nil || owner == nil || !mcs.Ours(owner) {
		return nil, err
	}
	return owner, nil
}

// create creates the slice, unless its namespace is being deleted. Then the ServiceImport is, too,
// and brings us back.
func (r *Reconciler) create(ctx context.Context, want *discoveryv1.EndpointSlice) error {
	if err := r.Client.Create(ctx, want); err != nil && !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return err
	}
	return nil
}

// delete deletes the slice, if there is one.
func (r *Reconciler) delete(ctx context.Context, have *discoveryv1.EndpointSlice) error {
	if have == nil {
		return nil
	}
	if err := r.Client.Delete(ctx, have, client.Preconditions{UID: &have.UID}); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting EndpointSlice %s/%s: %w", have.Namespace, have.Name, err)
	}
	return nil
}

// ours tells whether tombolo imported the slice. A cluster may hold the hub's namespace, too.
// Slices there are published, not imported, and have a label with the namespace that they belong
// to. Slices of derived Services (package derivedservice) do not name an imported Service.
func ours(obj client.Object) bool {
	labels := obj.GetLabels()
	_, published := labels[v1alpha1.LabelNamespace]
	return labels[discoveryv1.LabelManagedBy] == v1alpha1.ManagedBy && labels[v1alpha1.LabelServiceName] != "" && !published
}
