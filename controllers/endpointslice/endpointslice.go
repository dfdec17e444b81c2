// Package endpointslice owns the imported EndpointSlices: one for each slice on the hub of a cluster that the
// ServiceImport counts as exporter (package serviceimport decides that), with one write for each change. It does not
// touch slices that tombolo did not write, and publishes none (package export does).
package endpointslice

import (
	"context"
	"fmt"
	"slices"
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
	"github.com/tombolo-net/tombolo/controllers/internal/retry"
	"github.com/tombolo-net/tombolo/controllers/mcs"
	"github.com/tombolo-net/tombolo/controllers/mcs/screen"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// Reconciler keeps one imported slice; its name is that of the slice on the hub.
type Reconciler struct {
	Client client.Client // required, of this cluster, cached, with the indexes that Index makes
	Hub    *hub.Hub      // required
	Intake intake        // required, takes note of what cannot be used
}

// intake takes note of what is skipped of what a cluster publishes (package skipped's Ledger).
type intake interface {
	Note(cluster v1alpha1.ClusterID, object string, skipped ...screen.Skipped)
}

// Reconcile makes the imported slice what the hub's is, and deletes it when its cluster no longer exports the Service,
// or has other slices in its place.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	view, err := r.Hub.View()
	if err != nil {
		return reconcile.Result{}, nil //nolint:nilerr // what is imported stays; a change of the connection brings us back
	}
	have, err := r.slice(ctx, request)
	if err != nil {
		return reconcile.Result{}, err
	}
	published, err := view.Slice(ctx, request.Name)
	if err != nil {
		return reconcile.Result{}, err
	}
	if published != nil && published.Labels[v1alpha1.LabelNamespace] == request.Namespace {
		return retry.Result(r.bring(ctx, view, have, published))
	}
	if published == nil {
		cluster, _, _ := strings.Cut(request.Name, ".")
		r.Intake.Note(v1alpha1.ClusterID(cluster), object(request.Name))
	}
	if have == nil || !ours(have) {
		return reconcile.Result{}, nil
	}
	return retry.Result(r.drop(ctx, view, have))
}

// bring makes the imported slice what the published one is, or deletes it where nothing is imported from there.
func (r *Reconciler) bring(ctx context.Context, view hub.View, have, published *discoveryv1.EndpointSlice) error {
	cluster := clusterset.SourceCluster(published.Labels)
	owner, err := r.owner(ctx, published.Labels[v1alpha1.LabelNamespace], published.Labels[v1alpha1.LabelServiceName])
	if err != nil {
		return err
	}
	if have != nil && !ours(have) && (owner == nil || !metav1.IsControlledBy(have, owner)) {
		return nil // somebody else's, and not one of ours that lost its label
	}
	if owner == nil || !mcs.ImportsFrom(owner, cluster) {
		return r.delete(ctx, have)
	}
	want, err := r.wanted(ctx, view, owner, have, published)
	switch {
	case err != nil || want == nil:
		return err
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

// wanted is what the imported slice should be, and takes note of what is left out of it. nil: what there is stays.
func (r *Reconciler) wanted(ctx context.Context, view hub.View, owner *mcsv1beta1.ServiceImport, have, published *discoveryv1.EndpointSlice) (*discoveryv1.EndpointSlice, error) {
	cluster := clusterset.SourceCluster(published.Labels)
	source, known, err := r.source(ctx, view, cluster)
	if err != nil || !known {
		return nil, err
	}
	export, err := view.Export(ctx, cluster, owner.Namespace, owner.Name)
	if err != nil {
		return nil, err
	}
	if export != nil && export.Spec.Type != "" { // else the hub has lost it, or it cannot be read
		source.Ports = append([]mcsv1beta1.ServicePort{}, export.Spec.Ports...)
	}
	if source.Slices, err = view.Slices(ctx, cluster, owner.Namespace, owner.Name); err != nil {
		return nil, err
	}
	want, skipped := mcs.ImportedSlice(published, owner, source)
	r.Intake.Note(cluster, object(published.Name), skipped...)
	if slices.ContainsFunc(skipped, func(s screen.Skipped) bool { return s.Reason == screen.SkippedSlice }) {
		return nil, nil
	}
	if source.Ports == nil && have != nil {
		want.Ports = have.Ports
	}
	return want, nil
}

// object names a slice on the hub to the intake.
func object(name string) string { return "EndpointSlice " + name }

// drop deletes a slice that the hub no longer has, if that can be believed: its cluster no longer exports the Service, or
// its export says that just those slices are on the hub that are there, and the cluster is there to say so.
func (r *Reconciler) drop(ctx context.Context, view hub.View, have *discoveryv1.EndpointSlice) error {
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
	export, err := view.Export(ctx, cluster, have.Namespace, name)
	if err != nil || export == nil {
		return err
	}
	others, err := view.Slices(ctx, cluster, have.Namespace, name)
	if err != nil || clusterset.SliceSet(others) != export.Spec.SliceSet {
		return err
	}
	return r.delete(ctx, have)
}

// source is the cluster as it is seen from here. Not known: nothing may be changed.
func (r *Reconciler) source(ctx context.Context, view hub.View, cluster v1alpha1.ClusterID) (mcs.Source, bool, error) {
	source := mcs.Source{Cluster: cluster, Own: cluster == view.Cluster}
	member, err := view.Member(ctx, cluster)
	if err != nil || member == nil {
		return source, false, err
	}
	if source.Own {
		source.CIDRs = clusterset.Prefixes(member.Spec.CIDRs)
		return source, true, nil
	}
	own, err := view.Member(ctx, view.Cluster)
	if err != nil || own == nil {
		return source, false, err
	}
	remote := &v1alpha1.RemoteCluster{}
	if err := r.Client.Get(ctx, client.ObjectKey{Name: string(cluster)}, remote); err != nil {
		return source, false, client.IgnoreNotFound(err)
	}
	source.CIDRs, source.SameZones = clusterset.Prefixes(remote.Spec.CIDRs), mcs.SameZones(own.Spec, member.Spec)
	return source, len(source.CIDRs) > 0, nil // without CIDRs it is not accepted here, which takes nothing away
}

// owner returns the ServiceImport, nil if there is none, or none of ours, or it is going.
func (r *Reconciler) owner(ctx context.Context, namespace, name string) (*mcsv1beta1.ServiceImport, error) {
	owner := &mcsv1beta1.ServiceImport{}
	if err := r.Client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, owner); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, nil
		}
		return nil, fmt.Errorf("reading ServiceImport %s/%s: %w", namespace, name, err)
	}
	if !mcs.Ours(owner) || owner.DeletionTimestamp != nil {
		return nil, nil
	}
	return owner, nil
}

func (r *Reconciler) slice(ctx context.Context, request reconcile.Request) (*discoveryv1.EndpointSlice, error) {
	slice := &discoveryv1.EndpointSlice{}
	if err := r.Client.Get(ctx, request.NamespacedName, slice); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, nil
		}
		return nil, fmt.Errorf("reading EndpointSlice %s: %w", request, err)
	}
	return slice, nil
}

// create makes the slice, unless its namespace is going: then so does the ServiceImport, which brings us back.
func (r *Reconciler) create(ctx context.Context, want *discoveryv1.EndpointSlice) error {
	if err := r.Client.Create(ctx, want); err != nil && !apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return err
	}
	return nil
}

// delete removes the slice; none is fine.
func (r *Reconciler) delete(ctx context.Context, have *discoveryv1.EndpointSlice) error {
	if have == nil {
		return nil
	}
	if err := r.Client.Delete(ctx, have, client.Preconditions{UID: &have.UID}); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting EndpointSlice %s/%s: %w", have.Namespace, have.Name, err)
	}
	return nil
}

// ours tells whether tombolo imported the slice. A cluster may hold the hub's namespace, too: slices there are
// published, not imported, and say which namespace they are of.
func ours(obj client.Object) bool {
	labels := obj.GetLabels()
	_, published := labels[v1alpha1.LabelNamespace]
	return labels[discoveryv1.LabelManagedBy] == v1alpha1.ManagedBy && !published
}
