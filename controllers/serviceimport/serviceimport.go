// Package serviceimport owns this cluster's ServiceImports: what the exports of all clusters merge into, their
// clusterset IPs, and which clusters they count as exporters. That count is what package endpointslice goes by, so it
// is decided here, and only here, that a cluster's export has gone. ServiceImports of others are never touched.
package serviceimport

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/constituents"
	"github.com/tombolo-net/tombolo/controllers/hub"
	"github.com/tombolo-net/tombolo/controllers/mcs"
	"github.com/tombolo-net/tombolo/controllers/retry"
)

// Reconciler keeps the ServiceImport of one namespace/name.
type Reconciler struct {
	Client client.Client // required, of this cluster, cached, with the index that Index makes
	Hub    *hub.Hub      // required
	Events reporter      // required

	vips     ledger
	reported reports
}

// Reconcile makes the ServiceImport what the exports amount to, and removes it with the last of them.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	view, err := r.Hub.View()
	if err != nil {
		return reconcile.Result{}, nil //nolint:nilerr // what is imported stays; a change of the connection brings us back
	}
	have, err := r.serviceImport(ctx, request)
	if err != nil {
		return reconcile.Result{}, err
	}
	if have != nil && !mcs.Ours(have) {
		logf.FromContext(ctx).V(1).Info("leaving a ServiceImport alone that lacks our label", "label", v1alpha1.LabelManagedBy)
		return reconcile.Result{}, nil
	}
	found, err := constituents.Of(ctx, r.Client, view, request.NamespacedName, have)
	if err != nil {
		return reconcile.Result{}, err
	}
	if found.None() {
		return retry.Result(r.remove(ctx, have, request))
	}
	if exists, err := r.namespaceExists(ctx, request.Namespace); err != nil || !exists {
		if err == nil {
			err = r.reportNamespace(ctx, request, found)
		}
		return reconcile.Result{}, err
	}
	r.reported.forget(request.Namespace)
	return retry.Result(r.keep(ctx, request, have, found))
}

// keep writes the ServiceImport and its status where they differ.
func (r *Reconciler) keep(ctx context.Context, request reconcile.Request, have *mcsv1beta1.ServiceImport, found constituents.Exports) error {
	set := &v1alpha1.ClusterSet{}
	if err := r.Client.Get(ctx, client.ObjectKey{Name: v1alpha1.ClusterSetName}, set); err != nil {
		return client.IgnoreNotFound(err)
	}
	if len(found.Present) == 0 { // only such as may have been lost by the hub: everything stays
		return r.writeStatus(ctx, have, set, found)
	}
	if have == nil && verdict(set) == nil {
		return nil // whether there are clusterset IPs to give out shows in a moment, and brings us back
	}
	merged := mcs.Merge(found.Present)
	want, err := r.wanted(ctx, request, have, set, merged)
	if err != nil {
		return err
	}
	if len(found.Held) > 0 && have != nil {
		want.Spec = have.Spec
	}
	current, err := r.write(ctx, have, want)
	if err != nil {
		return err
	}
	return r.writeStatus(ctx, current, set, found)
}

// wanted returns the ServiceImport with its clusterset IPs: those it has, or new ones, unless the ClusterSet's
// addresses are in question.
func (r *Reconciler) wanted(ctx context.Context, request reconcile.Request, have *mcsv1beta1.ServiceImport, set *v1alpha1.ClusterSet,
	merged mcs.Import) (*mcsv1beta1.ServiceImport, error) {
	if merged.Spec.Type == mcsv1beta1.Headless {
		r.vips.release(request.String())
		return mcs.ServiceImportFor(request.Namespace, request.Name, merged, nil, nil), nil
	}
	if refusedAddresses(set) {
		return mcs.ServiceImportFor(request.Namespace, request.Name, merged, addresses(have), families(have)), nil
	}
	vips, served, err := r.vips.allocate(mcs.VIPRequest{
		Namespace: request.Namespace,
		Name:      request.Name,
		Families:  merged.Spec.IPFamilies,
		Have:      addresses(have),
		Blocks:    mcs.Prefixes(set.Spec.VIPCIDRs),
		Holder:    r.holder(ctx, request.String()),
	})
	if err != nil {
		return nil, err
	}
	return mcs.ServiceImportFor(request.Namespace, request.Name, merged, vips, served), nil
}

func (r *Reconciler) write(ctx context.Context, have, want *mcsv1beta1.ServiceImport) (*mcsv1beta1.ServiceImport, error) {
	if have == nil {
		if err := r.Client.Create(ctx, want); err != nil {
			return nil, err
		}
		logf.FromContext(ctx).Info("imported", "vip", want.Spec.IPs)
		return want, nil
	}
	if equality.Semantic.DeepEqual(have.Spec, want.Spec) && equality.Semantic.DeepEqual(have.Labels, want.Labels) &&
		equality.Semantic.DeepEqual(have.Annotations, want.Annotations) {
		return have, nil
	}
	want.ResourceVersion = have.ResourceVersion
	want.OwnerReferences, want.Finalizers = have.OwnerReferences, have.Finalizers
	want.Status = have.Status
	return want, r.Client.Update(ctx, want)
}

func (r *Reconciler) remove(ctx context.Context, have *mcsv1beta1.ServiceImport, request reconcile.Request) error {
	if have != nil {
		if err := r.Client.Delete(ctx, have, client.Preconditions{UID: &have.UID}); client.IgnoreNotFound(err) != nil {
			return fmt.Errorf("deleting ServiceImport %s: %w", request, err)
		}
		logf.FromContext(ctx).Info("import removed")
	}
	r.vips.release(request.String())
	return nil
}

func (r *Reconciler) serviceImport(ctx context.Context, request reconcile.Request) (*mcsv1beta1.ServiceImport, error) {
	have := &mcsv1beta1.ServiceImport{}
	if err := r.Client.Get(ctx, request.NamespacedName, have); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, nil
		}
		return nil, fmt.Errorf("reading ServiceImport %s: %w", request, err)
	}
	return have, nil
}

// namespaceExists tells whether ServiceImports can be made there.
func (r *Reconciler) namespaceExists(ctx context.Context, name string) (bool, error) {
	namespace := &corev1.Namespace{}
	if err := r.Client.Get(ctx, client.ObjectKey{Name: name}, namespace); err != nil {
		return false, client.IgnoreNotFound(err)
	}
	return namespace.DeletionTimestamp == nil, nil
}

// verdict is the condition Accepted on the ClusterSet as it is now; nil: nobody has looked yet.
func verdict(set *v1alpha1.ClusterSet) *metav1.Condition {
	accepted := meta.FindStatusCondition(set.Status.Conditions, v1alpha1.ConditionAccepted)
	if accepted == nil || accepted.ObservedGeneration < set.Generation {
		return nil
	}
	return accepted
}

// refusedAddresses tells whether no new clusterset IPs may be given out.
func refusedAddresses(set *v1alpha1.ClusterSet) bool {
	v := verdict(set)
	return v == nil || v.Reason == v1alpha1.ReasonInvalidCIDR || v.Reason == v1alpha1.ReasonCIDROverlap
}

func addresses(have *mcsv1beta1.ServiceImport) []netip.Addr {
	if have == nil {
		return nil
	}
	var addrs []netip.Addr
	for _, ip := range have.Spec.IPs {
		if addr, err := netip.ParseAddr(ip); err == nil {
			addrs = append(addrs, addr)
		}
	}
	return addrs
}

// families are those of the addresses that the ServiceImport has, in their order.
func families(have *mcsv1beta1.ServiceImport) []corev1.IPFamily {
	var of []corev1.IPFamily
	for _, addr := range addresses(have) {
		of = append(of, mcs.FamilyOf(addr))
	}
	return slices.Compact(of)
}
