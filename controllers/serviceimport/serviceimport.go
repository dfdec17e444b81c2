// Package serviceimport owns this cluster's ServiceImports: what the exports of all clusters merge
// into, their clusterset IPs, and which clusters they import from. Package exporters decides
// whether a cluster's export counts. This package writes the result into the ServiceImport, and
// package endpointslice follows it. It never touches ServiceImports of others.
package serviceimport

import (
	"context"
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/hub"
	"github.com/tombolo-net/tombolo/controllers/internal/exporters"
	"github.com/tombolo-net/tombolo/controllers/internal/optional"
	"github.com/tombolo-net/tombolo/controllers/internal/retry"
	"github.com/tombolo-net/tombolo/controllers/mcs"
	"github.com/tombolo-net/tombolo/controllers/mcs/screen"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// fieldOwner is the name under which we write (package mcs says what depends on it).
const fieldOwner = client.FieldOwner(mcs.FieldOwner)

// +kubebuilder:rbac:groups=multicluster.x-k8s.io,resources=serviceimports,verbs=get;list;watch;create;update;patch;delete
// +kubebuilder:rbac:groups=multicluster.x-k8s.io,resources=serviceimports/status,verbs=get;update;patch
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get;list;watch
// +kubebuilder:rbac:groups="";events.k8s.io,resources=events,verbs=create;patch
// +kubebuilder:rbac:groups=clusterset.tombolo.dev,resources=clustersets;remoteclusters,verbs=get;list;watch

// concurrent imports are written at a time: each waits for the API server's answer, not for our
// work.
const concurrent = 16

// Reconciler maintains the ServiceImport of one namespace/name.
type Reconciler struct {
	Client  client.Client        // required, of this cluster, cached, with the indexes that Index makes
	Hub     *hub.Hub             // required
	Events  events.EventRecorder // required
	Skipped skipped              // required, notes exports that cannot be used
	// Namespace that the operator runs in.
	Namespace string // required

	decisions decisions
	reported  reports
	exceeded  exceeded
	said      said
}

// skipped notes what is skipped of what a cluster publishes (package skipped's Ledger).
type skipped interface {
	Note(cluster v1alpha1.ClusterID, object string, skipped ...screen.Skipped)
}

// Reconcile makes the ServiceImport what the exports merge into, and deletes it with the last of
// them. Each call writes once at most. The rest follows when the cache shows what was written, so
// nothing is written from an old state.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	set, err := optional.ClusterSet(ctx, r.Client)
	if err != nil || set == nil {
		return reconcile.Result{}, err
	}
	have, err := optional.Get[mcsv1beta1.ServiceImport](ctx, r.Client, request.NamespacedName)
	if err != nil {
		return reconcile.Result{}, err
	}
	if have != nil && !mcs.Ours(have) {
		return reconcile.Result{}, r.reportForeign(ctx, have)
	}
	r.reported.forget(request.NamespacedName)
	obstacle, err := r.obstacle(ctx, set, request.Namespace, have != nil)
	if err != nil {
		return reconcile.Result{}, err
	}
	if obstacle == notSelected && have != nil { // the admin's own decision, whatever the hub says
		return retry.Result(r.delete(ctx, have, request))
	}
	view, err := r.Hub.View()
	if err != nil {
		return reconcile.Result{}, nil //nolint:nilerr // what is imported stays; a change of the connection brings us back
	}
	if err := r.decisions.seed(func() (map[netip.Addr]v1alpha1.ClusterID, error) { return r.paid(ctx) }); err != nil {
		return reconcile.Result{}, err
	}
	found, err := exporters.Of(ctx, r.Client, view, request.NamespacedName, r.asDecided(have))
	switch {
	case err != nil:
		return reconcile.Result{}, err
	case found.None():
		r.reported.release(request.NamespacedName)
		return retry.Result(r.delete(ctx, have, request))
	case obstacle != "":
		if have == nil {
			r.decisions.forget(request.String())
		}
		r.reportObstacle(set, request, obstacle, found)
		return reconcile.Result{}, nil
	}
	r.reported.release(request.NamespacedName)
	result, err := r.apply(ctx, request, set, have, found)
	if err == nil && found.Unconfirmed && view.Authoritative {
		// The heartbeat and the objects that it speaks of arrive by two watches. The later of them
		// may be no event of this import.
		return retry.Again(), nil
	}
	return result, err
}

// asDecided is the ServiceImport with status.clusters as this operator decided it, whatever
// somebody has written there since.
func (r *Reconciler) asDecided(have *mcsv1beta1.ServiceImport) *mcsv1beta1.ServiceImport {
	if have == nil {
		return nil
	}
	clusters := r.decisions.clusters(client.ObjectKeyFromObject(have).String(), have.UID)
	if clusters == nil {
		return have
	}
	decided := have.DeepCopy()
	decided.Status.Clusters = mcs.ClusterStatuses(clusters)
	return decided
}

// apply writes the ServiceImport or, if that is as it should be, its status.
func (r *Reconciler) apply(ctx context.Context, request reconcile.Request, set *v1alpha1.ClusterSet, have *mcsv1beta1.ServiceImport,
	found exporters.Exports) (reconcile.Result, error) {
	if len(found.Present) == 0 { // the hub may have lost the exports, or they cannot be used: everything stays
		return retry.Result(r.writeStatus(ctx, have, set, found, clusterset.VIPs{}))
	}
	if have == nil && acceptance(set) == nil {
		return reconcile.Result{}, nil // whether clusterset IPs may be assigned shows in a moment, and brings us back
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
	err = r.writeStatus(ctx, have, set, found, vips)
	switch {
	case err != nil:
		return retry.Result(err)
	case len(vips.Full) > 0:
		return reconcile.Result{RequeueAfter: fullFor}, nil
	case len(vips.Spent) > 0:
		return reconcile.Result{RequeueAfter: spentFor}, nil
	}
	return reconcile.Result{}, nil
}

// wanted returns the ServiceImport with its clusterset IPs. It keeps the IPs that the ServiceImport
// has, or assigns new ones, unless the ClusterSet's addresses are refused.
func (r *Reconciler) wanted(ctx context.Context, request reconcile.Request, set *v1alpha1.ClusterSet, have *mcsv1beta1.ServiceImport,
	found exporters.Exports) (*mcsv1beta1.ServiceImport, clusterset.VIPs, error) {
	merged, view := found.Merge(have)
	vips := clusterset.VIPs{Addrs: addresses(have)}
	if merged.Spec.Type == mcsv1beta1.Headless || !addressesRefused(set) {
		var err error
		if vips, err = r.assignVIPs(ctx, request, set, have, merged); err != nil {
			return nil, clusterset.VIPs{}, err
		}
	}
	want := mcs.ServiceImportFor(request.Namespace, request.Name, merged, vips.Addrs)
	metav1.SetMetaDataAnnotation(&want.ObjectMeta, v1alpha1.AnnotationFirstShown, found.Sightings.String())
	if view != "" {
		metav1.SetMetaDataAnnotation(&want.ObjectMeta, v1alpha1.AnnotationPartialView, view)
	}
	return want, vips, nil
}

// assignVIPs assigns the clusterset IPs of the import, and remembers them.
func (r *Reconciler) assignVIPs(ctx context.Context, request reconcile.Request, set *v1alpha1.ClusterSet, have *mcsv1beta1.ServiceImport,
	merged mcs.Import) (clusterset.VIPs, error) {
	view, err := r.Hub.View()
	if err != nil {
		return clusterset.VIPs{}, err
	}
	var errs []error
	vips := r.decisions.assignVIPs(clusterset.VIPRequest{
		Namespace: request.Namespace,
		Name:      request.Name,
		Families:  vipFamilies(merged),
		Have:      held(have),
		Blocks:    clusterset.VIPBlocks(set),
		Holder: func(addr netip.Addr) (string, bool) {
			holder, err := r.holder(ctx, request.String(), addr)
			if err != nil {
				errs = append(errs, err)
			}
			return holder, holder != "" || err != nil
		},
	}, uid(have), payer{merged.Oldest, func() []v1alpha1.ClusterID { return membersOf(ctx, view) }})
	if len(errs) > 0 {
		return clusterset.VIPs{}, errs[0]
	}
	r.noteSpent(request.String(), merged.Oldest, vips.Spent)
	return vips, nil
}

// vipFamilies are the families of the clusterset IPs that the import needs: none if it is headless.
func vipFamilies(merged mcs.Import) []corev1.IPFamily {
	if merged.Spec.Type == mcsv1beta1.Headless {
		return nil
	}
	return merged.Spec.IPFamilies
}

func (r *Reconciler) create(ctx context.Context, want *mcsv1beta1.ServiceImport) error {
	if err := r.Client.Create(ctx, want, fieldOwner); err != nil {
		if apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
			return nil // the end of the namespace, and a new one of its name, bring us back
		}
		return err
	}
	r.said.info(ctx, mcs.OldestOf(want), "imported", "vip", want.Spec.IPs)
	return nil
}

// delete deletes the ServiceImport. Its addresses are free once the cache no longer shows it.
func (r *Reconciler) delete(ctx context.Context, have *mcsv1beta1.ServiceImport, request reconcile.Request) error {
	if have == nil {
		r.noteSpent(request.String(), "", nil)
		r.decisions.forget(request.String())
		return nil
	}
	if err := r.Client.Delete(ctx, have, client.Preconditions{UID: &have.UID}); client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("deleting ServiceImport %s: %w", request, err)
	}
	r.said.info(ctx, mcs.OldestOf(have), "import removed")
	return nil
}
