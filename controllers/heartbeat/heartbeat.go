// Package heartbeat owns this member's Lease on the hub. It renews the Lease and says in it what
// the member publishes, so that others can tell an unexport from a hub that lost something. It does
// not export (package serviceexport does). It does not judge the Leases of others: package hub
// compares a Lease with what the hub shows, and packages exporters, endpointslice and remotecluster
// act on that.
package heartbeat

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/hub"
	"github.com/tombolo-net/tombolo/controllers/internal/optional"
	"github.com/tombolo-net/tombolo/controllers/internal/retry"
	"github.com/tombolo-net/tombolo/controllers/serviceexport"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// Reconciler renews the Lease. There is one request, so never two reconciles at a time.
type Reconciler struct {
	Client    client.Client    // required, of this cluster, cached
	Hub       *hub.Hub         // required
	Namespace string           // required, the operator's
	Now       func() time.Time // required
}

// Reconcile renews the Lease when it is due, or at once if the Lease must confirm less than it
// says.
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

// annotations cover what this cluster means to publish and what it has on the hub. So an export is
// in the Lease before others can miss it, and stays there until it is gone from the hub. The Lease
// therefore never confirms a loss of the hub.
func (r *Reconciler) annotations(ctx context.Context, view hub.View) (map[string]string, error) {
	exports, err := r.exports(ctx, view)
	if err != nil {
		return nil, err
	}
	gateways, err := r.gateways(ctx, view.Cluster)
	if err != nil {
		return nil, err
	}
	onHub, err := view.Names(ctx, view.Cluster)
	if err != nil {
		return nil, err
	}
	all := slices.Concat(exports, gateways, onHub)
	slices.Sort(all)
	return clusterset.HeartbeatAnnotations(slices.Compact(all)), nil
}

// exports are the names on the hub of all that this cluster means to export. They leave out what
// may not be exported from its namespace, and what the hub refuses: with these, the Lease would
// never fit what is on the hub. Whatever changes this list changes what is on the hub, too, which
// brings us back.
func (r *Reconciler) exports(ctx context.Context, view hub.View) ([]string, error) {
	set, err := optional.ClusterSet(ctx, r.Client)
	if err != nil {
		return nil, err
	}
	member, err := view.Member(ctx, view.Cluster)
	if err != nil {
		return nil, err
	}
	policy := serviceexport.Policy{Reader: r.Client, Set: set, Member: member, Operator: r.Namespace}
	exports := &mcsv1beta1.ServiceExportList{}
	if err := r.Client.List(ctx, exports, client.UnsafeDisableDeepCopy); err != nil { // all, at each change of one: only read
		return nil, fmt.Errorf("listing ServiceExports: %w", err)
	}
	var names []string
	for i := range exports.Items {
		export := &exports.Items[i]
		meant, err := r.meant(ctx, policy, export)
		if err != nil {
			return nil, err
		}
		if meant {
			names = append(names, clusterset.HubName(view.Cluster, export.Namespace, export.Name))
		}
	}
	return names, nil
}

// meant tells whether this cluster means to export the Service, and the hub does not refuse it. If
// nobody can tell whether it may be exported, for example with a selector that makes no sense, it
// counts as meant. What has been exported then stays exported (package serviceexport), so the Lease
// must not confirm that it is gone.
func (r *Reconciler) meant(ctx context.Context, policy serviceexport.Policy, export *mcsv1beta1.ServiceExport) (bool, error) {
	service, err := optional.Get[corev1.Service](ctx, r.Client, client.ObjectKeyFromObject(export), client.UnsafeDisableDeepCopy)
	if err != nil {
		return false, err
	}
	fault, _ := policy.Judge(ctx, export, service, false) // what the hub has is in the Lease anyway
	return fault == clusterset.ExportAllowed && !refused(export), nil
}

// refused tells whether the hub refuses the content of the export, so nothing of it is on the hub,
// nor will be. Only the ServiceExport's condition says so (package serviceexport, ready).
func refused(export *mcsv1beta1.ServiceExport) bool {
	ready := meta.FindStatusCondition(export.Status.Conditions, string(mcsv1beta1.ServiceExportConditionReady))
	return ready != nil && ready.Reason == string(mcsv1beta1.ServiceExportReasonFailed)
}

// gateways are the names on the hub of this cluster's GatewayNodes that are published.
func (r *Reconciler) gateways(ctx context.Context, cluster v1alpha1.ClusterID) ([]string, error) {
	nodes := &v1alpha1.GatewayNodeList{}
	if err := r.Client.List(ctx, nodes, client.InNamespace(r.Namespace)); err != nil {
		return nil, fmt.Errorf("listing GatewayNodes: %w", err)
	}
	var names []string
	for i := range nodes.Items {
		if node := &nodes.Items[i]; node.DeletionTimestamp == nil && clusterset.MayPublish(node) {
			names = append(names, clusterset.HubName(cluster, node.Namespace, node.Name))
		}
	}
	return names, nil
}
