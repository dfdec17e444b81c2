// Package heartbeat owns this member's Lease on the hub: it renews it, and says in it what the member exports, so that
// others can tell an unexport from a hub that lost something. It does not export (package export does), and does not
// judge the Leases of others (package serviceimport does).
package heartbeat

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/hub"
	"github.com/tombolo-net/tombolo/controllers/internal/retry"
	"github.com/tombolo-net/tombolo/controllers/serviceexport"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

const (
	// renewal is how often the Lease is renewed at least.
	renewal = 10 * time.Second
	// leaseSeconds is after how many seconds without renewal the member counts as stale.
	leaseSeconds = 40
	// additions is the least time between two renewals that add exports, which may come in numbers. The first is made at
	// once: until it is, a hub that loses the export looks as if it had never been there.
	additions = 200 * time.Millisecond
)

// Reconciler renews the Lease. There is one request, so never two reconciles at a time.
type Reconciler struct {
	Client    client.Client    // required, of this cluster, cached
	Hub       *hub.Hub         // required
	Namespace string           // required, the operator's
	Now       func() time.Time // required
}

// SetUp adds the controller to the manager.
func (r *Reconciler) SetUp(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("heartbeat").
		WithOptions(retry.Options(1)).
		Watches(&mcsv1beta1.ServiceExport{}, handler.EnqueueRequestsFromMapFunc(
			func(context.Context, client.Object) []reconcile.Request { return theRequest() })).
		Watches(&v1alpha1.GatewayNode{}, handler.EnqueueRequestsFromMapFunc(
			func(context.Context, client.Object) []reconcile.Request { return theRequest() }),
			builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		WatchesRawSource(r.Hub.OnChange(func(context.Context) []reconcile.Request { return theRequest() })).
		WatchesRawSource(r.Hub.Watch(&v1alpha1.ExportedService{}, r.ifOurs)).
		WatchesRawSource(r.Hub.Watch(&v1alpha1.GatewayNode{}, r.ifOurs, predicate.GenerationChangedPredicate{})).
		WatchesRawSource(r.Hub.Watch(&coordinationv1.Lease{}, r.ifOurs)).
		Complete(r)
}

func theRequest() []reconcile.Request {
	return []reconcile.Request{{NamespacedName: client.ObjectKey{Name: "heartbeat"}}}
}

func (r *Reconciler) ifOurs(_ context.Context, obj client.Object) []reconcile.Request {
	view, err := r.Hub.View()
	if err != nil || clusterset.SourceCluster(obj.GetLabels()) != view.Cluster {
		return nil
	}
	return theRequest()
}

// Reconcile renews the Lease if it is time, or at once if there is less to be confirmed than it says.
func (r *Reconciler) Reconcile(ctx context.Context, _ reconcile.Request) (reconcile.Result, error) {
	view, err := r.Hub.View()
	if err != nil || !view.Authoritative || view.Removed {
		return reconcile.Result{}, nil //nolint:nilerr // a change of the connection brings us back
	}
	have, err := view.Heartbeat(ctx, view.Cluster)
	if err != nil {
		return reconcile.Result{}, err
	}
	annotations, err := r.annotations(ctx, view)
	if err != nil {
		return reconcile.Result{}, err
	}
	now := r.Now()
	if wait := due(have, annotations, now); wait > 0 {
		return reconcile.Result{RequeueAfter: wait}, nil
	}
	if err := write(ctx, view, have, annotations, now); err != nil {
		return retry.Result(err)
	}
	return reconcile.Result{RequeueAfter: renewal}, nil
}

// annotations are those of what this cluster means to publish and of what it has on the hub: an export is in the Lease
// before others can miss it, and until it is gone from the hub. So the Lease never confirms what the hub has lost.
func (r *Reconciler) annotations(ctx context.Context, view hub.View) (map[string]string, error) {
	meant, err := r.meant(ctx, view.Cluster)
	if err != nil {
		return nil, err
	}
	gateways, err := r.gateways(ctx, view.Cluster)
	if err != nil {
		return nil, err
	}
	there, err := view.Names(ctx, view.Cluster)
	if err != nil {
		return nil, err
	}
	all := slices.Concat(meant, gateways, there)
	slices.Sort(all)
	return clusterset.HeartbeatAnnotations(slices.Compact(all)), nil
}

// meant are the names on the hub of all that this cluster means to export, but for what may not be exported from its
// namespace, and for what the hub refuses: that would keep the Lease from ever fitting what is there. What changes
// this changes what is on the hub, too, which brings us back.
func (r *Reconciler) meant(ctx context.Context, cluster v1alpha1.ClusterID) ([]string, error) {
	set := &v1alpha1.ClusterSet{}
	if err := r.Client.Get(ctx, client.ObjectKey{Name: v1alpha1.ClusterSetName}, set); client.IgnoreNotFound(err) != nil {
		return nil, fmt.Errorf("reading ClusterSet %s: %w", v1alpha1.ClusterSetName, err)
	}
	exports := &mcsv1beta1.ServiceExportList{}
	if err := r.Client.List(ctx, exports, client.UnsafeDisableDeepCopy); err != nil { // all, at each change of one: only read
		return nil, fmt.Errorf("listing ServiceExports: %w", err)
	}
	var names []string
	for i := range exports.Items {
		e := &exports.Items[i]
		valid, err := r.valid(ctx, e)
		if err != nil {
			return nil, err
		}
		if valid && r.allowed(ctx, set, e.Namespace) && e.DeletionTimestamp == nil && !refused(e) {
			names = append(names, clusterset.HubName(cluster, e.Namespace, e.Name))
		}
	}
	return names, nil
}

func (r *Reconciler) valid(ctx context.Context, e *mcsv1beta1.ServiceExport) (bool, error) {
	service := &corev1.Service{}
	if err := r.Client.Get(ctx, client.ObjectKeyFromObject(e), service, client.UnsafeDisableDeepCopy); apierrors.IsNotFound(err) {
		service = nil
	} else if err != nil {
		return false, fmt.Errorf("reading Service %s/%s: %w", e.Namespace, e.Name, err)
	}
	_, _, valid := clusterset.ValidateExport(e.Namespace, e.Name, service)
	return valid, nil
}

// allowed counts as allowed what cannot be told, as of a selector that makes no sense: what has been exported stays so
// then (package export), and must not be confirmed as gone.
func (r *Reconciler) allowed(ctx context.Context, set *v1alpha1.ClusterSet, namespace string) bool {
	allowed, err := serviceexport.Allowed(ctx, r.Client, set, namespace)
	return allowed || err != nil
}

// gateways are the names on the hub of this cluster's GatewayNodes, those with a lane: the others are not published.
func (r *Reconciler) gateways(ctx context.Context, cluster v1alpha1.ClusterID) ([]string, error) {
	nodes := &v1alpha1.GatewayNodeList{}
	if err := r.Client.List(ctx, nodes, client.InNamespace(r.Namespace)); err != nil {
		return nil, fmt.Errorf("listing GatewayNodes: %w", err)
	}
	var names []string
	for i := range nodes.Items {
		if node := &nodes.Items[i]; node.DeletionTimestamp == nil && node.Status.Lane != nil {
			names = append(names, clusterset.HubName(cluster, node.Namespace, node.Name))
		}
	}
	return names, nil
}

// refused tells whether nothing of the export is on the hub, nor is going to be (package export, outcome.conditions).
func refused(e *mcsv1beta1.ServiceExport) bool {
	ready := meta.FindStatusCondition(e.Status.Conditions, string(mcsv1beta1.ServiceExportConditionReady))
	return ready != nil && ready.Reason == string(mcsv1beta1.ServiceExportReasonFailed)
}

// due is how long the renewal can wait; zero or less: it cannot.
func due(have *coordinationv1.Lease, annotations map[string]string, now time.Time) time.Duration {
	if have == nil || have.Spec.RenewTime == nil || have.Spec.RenewTime.After(now) { // our clock was set back
		return 0
	}
	after := renewal
	if !maps.Equal(ours(have.Annotations), annotations) {
		after = 0
		if count(annotations) > count(have.Annotations) {
			after = additions
		}
	}
	return have.Spec.RenewTime.Add(after).Sub(now)
}

func count(annotations map[string]string) int {
	n, err := strconv.Atoi(annotations[v1alpha1.AnnotationPublishedCount])
	if err != nil {
		return -1
	}
	return n
}

func ours(annotations map[string]string) map[string]string {
	picked := map[string]string{}
	for _, key := range []string{v1alpha1.AnnotationPublishedCount, v1alpha1.AnnotationPublishedDigest} {
		if value, ok := annotations[key]; ok {
			picked[key] = value
		}
	}
	return picked
}

func write(ctx context.Context, view hub.View, have *coordinationv1.Lease, annotations map[string]string, now time.Time) error {
	want := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:   view.Namespace,
			Name:        clusterset.LeaseName(view.Cluster),
			Labels:      map[string]string{v1alpha1.LabelSourceCluster: string(view.Cluster)},
			Annotations: annotations,
		},
		Spec: coordinationv1.LeaseSpec{
			HolderIdentity:       ptr.To(string(view.Cluster)),
			LeaseDurationSeconds: ptr.To[int32](leaseSeconds),
			RenewTime:            &metav1.MicroTime{Time: now},
		},
	}
	if have == nil {
		return view.Writer.Create(ctx, want)
	}
	want.ResourceVersion = have.ResourceVersion
	return view.Writer.Update(ctx, want)
}
