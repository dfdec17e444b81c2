// Package serviceimport owns this cluster's ServiceImports: what the exports of all clusters merge into, their
// clusterset IPs, and which clusters they count as exporters. That count is what package endpointslice goes by, so it
// is decided here, and only here, that a cluster's export has gone. ServiceImports of others are never touched.
package serviceimport

import (
	"context"
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/hub"
	"github.com/tombolo-net/tombolo/controllers/internal/exporters"
	"github.com/tombolo-net/tombolo/controllers/internal/retry"
	"github.com/tombolo-net/tombolo/controllers/mcs"
	"github.com/tombolo-net/tombolo/controllers/mcs/screen"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// fieldOwner is the name of who writes (package mcs has what depends on it).
const fieldOwner = client.FieldOwner(mcs.FieldOwner)

// Reconciler keeps the ServiceImport of one namespace/name.
type Reconciler struct {
	Client client.Client        // required, of this cluster, cached, with the indexes that Index makes
	Hub    *hub.Hub             // required
	Events events.EventRecorder // required
	Intake intake               // required, takes note of exports that cannot be used

	ledger   ledger
	reported reports
}

// intake takes note of what is skipped of what a cluster publishes (package skipped's Ledger).
type intake interface {
	Note(cluster v1alpha1.ClusterID, object string, skipped ...screen.Skipped)
}

// Reconcile makes the ServiceImport what the exports amount to, and removes it with the last of them. Each call writes
// once at most: the rest follows when the cache shows what was written, so that nothing is written from an old state.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	set := &v1alpha1.ClusterSet{}
	if err := r.Client.Get(ctx, client.ObjectKey{Name: v1alpha1.ClusterSetName}, set); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	have, err := r.serviceImport(ctx, request)
	if err != nil {
		return reconcile.Result{}, err
	}
	if have != nil && !mcs.Ours(have) {
		return reconcile.Result{}, r.leaveAlone(ctx, have)
	}
	obstacle, err := r.obstacle(ctx, set, request.Namespace)
	if err != nil {
		return reconcile.Result{}, err
	}
	if obstacle == notSelected && have != nil { // the admin's own decision, whatever the hub says
		return retry.Result(r.remove(ctx, have, request))
	}
	view, err := r.Hub.View()
	if err != nil {
		return reconcile.Result{}, nil //nolint:nilerr // what is imported stays; a change of the connection brings us back
	}
	found, err := exporters.Of(ctx, r.Client, view, request.NamespacedName, r.asDecided(have))
	switch {
	case err != nil:
		return reconcile.Result{}, err
	case found.None():
		return retry.Result(r.remove(ctx, have, request))
	case obstacle != "":
		if have == nil {
			r.ledger.release(request.String())
		}
		r.reportObstacle(set, request, obstacle, found)
		return reconcile.Result{}, nil
	}
	r.reported.forget(request.Namespace)
	result, err := r.keep(ctx, request, set, have, found)
	if err == nil && found.Unconfirmed && view.Authoritative {
		// The heartbeat and what it speaks of come by two watches: whichever is later may be no event of this import's.
		return retry.Again(), nil
	}
	return result, err
}

// asDecided is the ServiceImport with status.clusters as this operator decided it, whatever somebody wrote there since.
func (r *Reconciler) asDecided(have *mcsv1beta1.ServiceImport) *mcsv1beta1.ServiceImport {
	if have == nil {
		return nil
	}
	clusters := r.ledger.clusters(client.ObjectKeyFromObject(have).String(), have.UID)
	if clusters == nil {
		return have
	}
	decided := have.DeepCopy()
	decided.Status.Clusters = mcs.ClusterStatuses(clusters)
	return decided
}

// keep writes the ServiceImport or, if that is as it should be, its status.
func (r *Reconciler) keep(ctx context.Context, request reconcile.Request, set *v1alpha1.ClusterSet, have *mcsv1beta1.ServiceImport,
	found exporters.Exports) (reconcile.Result, error) {
	if len(found.Present) == 0 { // only such as the hub may have lost, or as cannot be used: everything stays
		return retry.Result(r.writeStatus(ctx, have, set, found, clusterset.VIPs{}))
	}
	if have == nil && verdict(set) == nil {
		return reconcile.Result{}, nil // whether there are clusterset IPs to give out shows in a moment, and brings us back
	}
	want, vips, err := r.wanted(ctx, request, set, have, found)
	if err != nil {
		return reconcile.Result{}, err
	}
	if have == nil {
		return retry.Result(r.create(ctx, want))
	}
	if amended, changed := mcs.Amend(have, want); changed {
		return retry.Result(r.Client.Update(ctx, amended, fieldOwner))
	}
	if err := r.writeStatus(ctx, have, set, found, vips); err != nil || len(vips.Full) == 0 {
		return retry.Result(err)
	}
	return reconcile.Result{RequeueAfter: fullFor}, nil
}

// wanted returns the ServiceImport with its clusterset IPs: those it has, or new ones, unless the ClusterSet's
// addresses are in question.
func (r *Reconciler) wanted(ctx context.Context, request reconcile.Request, set *v1alpha1.ClusterSet, have *mcsv1beta1.ServiceImport,
	found exporters.Exports) (*mcsv1beta1.ServiceImport, clusterset.VIPs, error) {
	merged := mcs.Merge(found.Present)
	if len(found.Held) > 0 && have != nil { // what the hub has lost may have made the import what it is
		merged.Spec = *have.Spec.DeepCopy()
		merged.Spec.IPs = nil
	}
	vips := clusterset.VIPs{Addrs: addresses(have)}
	if merged.Spec.Type == mcsv1beta1.Headless || !refusedAddresses(set) {
		var failed error
		vips = r.ledger.allocate(clusterset.VIPRequest{
			Namespace: request.Namespace,
			Name:      request.Name,
			Families:  vipFamilies(merged),
			Have:      addresses(have),
			Blocks:    clusterset.Prefixes(set.Spec.VIPCIDRs),
			Holder:    r.holder(ctx, request.String(), &failed),
		}, uid(have))
		if failed != nil {
			return nil, clusterset.VIPs{}, fmt.Errorf("looking up clusterset IPs for %s: %w", request, failed)
		}
	}
	return mcs.ServiceImportFor(request.Namespace, request.Name, merged, vips.Addrs), vips, nil
}

// vipFamilies are the families that the import needs clusterset IPs of: none if it is headless.
func vipFamilies(merged mcs.Import) []corev1.IPFamily {
	if merged.Spec.Type == mcsv1beta1.Headless {
		return nil
	}
	return merged.Spec.IPFamilies
}

func (r *Reconciler) create(ctx context.Context, want *mcsv1beta1.ServiceImport) error {
	if err := r.Client.Create(ctx, want, fieldOwner); err != nil {
		if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
			return nil // the end of the namespace, and its return, bring us back
		}
		return err
	}
	logf.FromContext(ctx).Info("imported", "vip", want.Spec.IPs)
	return nil
}

// remove deletes the ServiceImport. Its addresses are free once the cache no longer shows it.
func (r *Reconciler) remove(ctx context.Context, have *mcsv1beta1.ServiceImport, request reconcile.Request) error {
	if have == nil {
		r.ledger.release(request.String())
		return nil
	}
	if err := r.Client.Delete(ctx, have, client.Preconditions{UID: &have.UID}); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting ServiceImport %s: %w", request, err)
	}
	logf.FromContext(ctx).Info("import removed")
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

// addresses are the valid ones of the ServiceImport's spec.
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

func uid(have *mcsv1beta1.ServiceImport) types.UID {
	if have == nil {
		return ""
	}
	return have.UID
}
