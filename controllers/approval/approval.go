// Package approval owns the ClusterSet's condition AddressesApproved: whether the CIDRs that the
// clusterset's admin has approved for this cluster hold what it uses. Other clusters drop what comes
// from elsewhere, without a word. It looks at Nodes and EndpointSlices, which the cache holds anyway,
// and never at all pods.
package approval

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/hub"
	"github.com/tombolo-net/tombolo/controllers/internal/inuse"
	"github.com/tombolo-net/tombolo/controllers/internal/optional"
	"github.com/tombolo-net/tombolo/controllers/internal/requests"
	"github.com/tombolo-net/tombolo/controllers/internal/retry"
	"github.com/tombolo-net/tombolo/controllers/internal/status"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// recheck is how often endpoints are compared again: no event of theirs wakes this controller.
const recheck = time.Minute

// +kubebuilder:rbac:groups=clusterset.tombolo.dev,resources=clustersets;remoteclusters,verbs=get;list;watch
// +kubebuilder:rbac:groups=clusterset.tombolo.dev,resources=clustersets/status,verbs=get;update;patch
// +kubebuilder:rbac:groups=multicluster.x-k8s.io,resources=serviceexports,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=nodes,verbs=get;list;watch
// +kubebuilder:rbac:groups=discovery.k8s.io,resources=endpointslices,verbs=get;list;watch
// +kubebuilder:rbac:groups="";events.k8s.io,resources=events,verbs=create;patch

// Reconciler maintains the condition of the one ClusterSet.
type Reconciler struct {
	Client client.Client        // required, of this cluster, cached
	Hub    *hub.Hub             // required
	Events events.EventRecorder // required
}

// SetUp adds the controller to the manager.
func (r *Reconciler) SetUp(_ context.Context, mgr ctrl.Manager) error {
	toTheOne := handler.EnqueueRequestsFromMapFunc(requests.TheClusterSet)
	return retry.Controller(mgr, "approval", 1).
		For(&v1alpha1.ClusterSet{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&v1alpha1.RemoteCluster{}, toTheOne, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&corev1.Node{}, toTheOne, builder.WithPredicates(inuse.NodeChanged())).
		WatchesRawSource(r.Hub.OnChange(requests.TheClusterSet)).
		WatchesRawSource(r.Hub.Watch(&v1alpha1.Member{}, requests.TheClusterSet, predicate.GenerationChangedPredicate{})).
		Complete(r)
}

// Reconcile writes the condition if it differs. Without a hub, what was known stays.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	set, err := optional.Get[v1alpha1.ClusterSet](ctx, r.Client, request.NamespacedName)
	if err != nil || set == nil {
		return reconcile.Result{}, err
	}
	view, err := r.Hub.View()
	if err != nil {
		return reconcile.Result{}, nil //nolint:nilerr // a change of the connection brings us back
	}
	member, err := view.Member(ctx, view.Cluster)
	if err != nil || member == nil {
		return reconcile.Result{}, err
	}
	approved := clusterset.Prefixes(member.Spec.CIDRs)
	used, err := r.used(ctx, approved, func(a netip.Addr) bool { return matters(a, approved, set) })
	if err != nil {
		return reconcile.Result{}, err
	}
	others, err := r.others(ctx)
	if err != nil {
		return reconcile.Result{}, err
	}
	condition := judge(member, used, others)
	if err := status.SetClusterSetCondition(ctx, r.Client, set, condition); err != nil {
		return retry.Result(err)
	}
	was := meta.FindStatusCondition(set.Status.Conditions, condition.Type)
	if condition.Status == metav1.ConditionFalse && (was == nil || was.Status != condition.Status) {
		r.Events.Eventf(set, nil, corev1.EventTypeWarning, condition.Reason, "Check", "%s", clusterset.Clip(condition.Message, eventNote))
	}
	return reconcile.Result{RequeueAfter: recheck}, nil
}

// eventNote is how many bytes of the message an event shows; it may have 1024.
const eventNote = 900

// matters tells whether the clusterset uses the address's family: the cluster has approved CIDRs of
// it, or clusterset IPs are of it.
func matters(a netip.Addr, approved []netip.Prefix, set *v1alpha1.ClusterSet) bool {
	for _, p := range append(clusterset.Prefixes(set.Spec.VIPCIDRs), approved...) {
		if p.Addr().Is4() == a.Is4() {
			return true
		}
	}
	return false
}

// others are the CIDRs of other members.
func (r *Reconciler) others(ctx context.Context) ([]clusterset.Block, error) {
	remotes := &v1alpha1.RemoteClusterList{}
	if err := r.Client.List(ctx, remotes, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing RemoteClusters: %w", err)
	}
	var blocks []clusterset.Block
	for i := range remotes.Items {
		blocks = append(blocks, clusterset.BlocksOf(clusterset.Prefixes(remotes.Items[i].Spec.CIDRs), "Member "+remotes.Items[i].Name)...)
	}
	return blocks, nil
}

// named is how many ranges and addresses the message names.
const named = 5

// judge is the condition.
func judge(member *v1alpha1.Member, found used, others []clusterset.Block) metav1.Condition {
	judged := clusterset.JudgeCoverage(clusterset.Prefixes(member.Spec.CIDRs), found.blocks, others)
	c := metav1.Condition{Type: v1alpha1.ConditionAddressesApproved, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonApproved,
		Message: "Member.spec.cidrs holds the pods of all nodes, and all endpoints that are known here"}
	if len(judged.Outside) == 0 {
		return c
	}
	all := len(judged.Outside) + found.more
	var examples []string
	for _, b := range judged.Outside[:min(named, len(judged.Outside))] {
		examples = append(examples, fmt.Sprintf("%s of %s", b.Prefix, b.Owner))
	}
	if more := all - len(examples); more > 0 {
		examples = append(examples, fmt.Sprintf("and %d more", more))
	}
	c.Status, c.Reason = metav1.ConditionFalse, v1alpha1.ReasonAddressesOutside
	c.Message = fmt.Sprintf("%d ranges and addresses lie outside Member.spec.cidrs %v, so other clusters drop what comes from there: %s",
		all, member.Spec.CIDRs, strings.Join(examples, ", "))
	if judged.Clash != nil {
		c.Message += fmt.Sprintf("; %s overlaps %s of %s: use other addresses here", judged.Clash.Prefix, judged.Clash.Block.Prefix, judged.Clash.Block.Owner)
		return c
	}
	c.Message += fmt.Sprintf("; if they are this cluster's, the clusterset's admin approves them on the hub: kubectl -n %s patch member %s --type=merge -p '%s'",
		member.Namespace, member.Name, patch(judged.Enough))
	return c
}

func patch(cidrs []netip.Prefix) []byte {
	text, err := json.Marshal(map[string]any{"spec": map[string]any{"cidrs": cidrs}})
	if err != nil { // never: they are texts
		return []byte(err.Error())
	}
	return text
}
