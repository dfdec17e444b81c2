// Package remotecluster owns this cluster's RemoteClusters: what it may believe of every other member, from the
// admin's Members and the GatewayNodes that members publish, and the conditions Accepted, Reachable and ContentAccepted.
// Links are the gateways' own to write.
package remotecluster

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/hub"
	"github.com/tombolo-net/tombolo/controllers/internal/inuse"
	"github.com/tombolo-net/tombolo/controllers/internal/retry"
	"github.com/tombolo-net/tombolo/controllers/internal/skipped"
	"github.com/tombolo-net/tombolo/controllers/mcs/screen"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// Reconciler keeps one RemoteCluster; its name is the cluster's ID.
type Reconciler struct {
	Client client.Client // required, of this cluster, cached
	Hub    *hub.Hub      // required
	InUse  inuse.Reader  // required
	// Intake knows what of the cluster's objects is skipped, and is told which GatewayNodes are.
	Intake *skipped.Ledger // required
	// Events are made of RemoteClusters.
	Events events.EventRecorder // required
}

// Reconcile makes the RemoteCluster what its Member and gateways say, unless that is refused: then what is in use stays.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	have, err := r.remote(ctx, request.Name)
	if err != nil {
		return reconcile.Result{}, err
	}
	view, err := r.Hub.View()
	if err != nil { // nothing is learnt, but links come and go
		return r.writeStatus(ctx, have, nil)
	}
	cluster := v1alpha1.ClusterID(request.Name)
	member, err := view.Member(ctx, cluster)
	switch {
	case err != nil:
		return reconcile.Result{}, err
	case view.Removed, cluster == view.Cluster, member != nil && member.Spec.Removed:
		return retry.Result(r.remove(ctx, have))
	case member == nil:
		return r.writeStatus(ctx, have, absent(view, request.Name))
	}
	set, err := r.clusterSet(ctx)
	if err != nil || set == nil {
		return reconcile.Result{}, err
	}
	refusal, err := r.refusal(ctx, view, set, cluster)
	if err != nil {
		return reconcile.Result{}, err
	}
	want, err := r.wanted(ctx, view, set, have, member, refusal)
	if err != nil {
		return reconcile.Result{}, err
	}
	current, err := r.write(ctx, have, want.spec, request.Name)
	if err != nil {
		return retry.Result(err)
	}
	result, err := r.writeStatus(ctx, current, want.accepted)
	if err == nil && want.held && view.Authoritative {
		// The heartbeat and what it speaks of come by two watches: whichever is later may be no event of this cluster's
		// gateways.
		return retry.Again(), nil
	}
	return result, err
}

// refusal says why the member cannot be accepted, nil if it can.
func (r *Reconciler) refusal(ctx context.Context, view hub.View, set *v1alpha1.ClusterSet, cluster v1alpha1.ClusterID) (*clusterset.Refusal, error) {
	members, err := view.Members(ctx)
	if err != nil {
		return nil, err
	}
	list := &v1alpha1.RemoteClusterList{}
	if err := r.Client.List(ctx, list); err != nil {
		return nil, fmt.Errorf("listing RemoteClusters: %w", err)
	}
	in := clusterset.MembersInput{Own: view.Cluster, Members: members, InUse: map[v1alpha1.ClusterID]v1alpha1.RemoteClusterSpec{}}
	for _, rc := range list.Items {
		if len(rc.Spec.CIDRs) > 0 {
			in.InUse[v1alpha1.ClusterID(rc.Name)] = rc.Spec
		}
	}
	if in.Blocks, err = r.InUse.Blocks(ctx); err != nil {
		return nil, err
	}
	in.Blocks = append(in.Blocks, clusterset.OwnBlocks(&set.Spec)...)
	if refusal, refused := clusterset.RefuseMembers(in)[cluster]; refused {
		return &refusal, nil
	}
	return nil, nil
}

// clusterSet returns the ClusterSet, nil if there is none.
func (r *Reconciler) clusterSet(ctx context.Context) (*v1alpha1.ClusterSet, error) {
	set := &v1alpha1.ClusterSet{}
	if err := r.Client.Get(ctx, client.ObjectKey{Name: v1alpha1.ClusterSetName}, set); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	return set, nil
}

// wish is what a RemoteCluster should be.
type wish struct {
	spec     v1alpha1.RemoteClusterSpec
	accepted *metav1.Condition
	held     bool // gateways are in it that the hub does not show, without it being certain that they have gone
}

func (r *Reconciler) wanted(ctx context.Context, view hub.View, set *v1alpha1.ClusterSet, have *v1alpha1.RemoteCluster, member *v1alpha1.Member,
	refusal *clusterset.Refusal) (wish, error) {
	spec := v1alpha1.RemoteClusterSpec{
		Index:      member.Spec.Index,
		CIDRs:      member.Spec.CIDRs,
		Region:     member.Spec.Region,
		ZoneDomain: member.Spec.ZoneDomain,
	}
	if refusal != nil { // what is in use stays; a newcomer gets nothing
		if have == nil || len(have.Spec.CIDRs) == 0 {
			return wish{spec: v1alpha1.RemoteClusterSpec{Index: member.Spec.Index}, accepted: condition(refusal)}, nil
		}
		spec = have.Spec
	}
	nodes, err := r.gatewayNodes(ctx, view, v1alpha1.ClusterID(member.Name))
	if err != nil {
		return wish{}, err
	}
	gateways, wrong := clusterset.RemoteGateways(nodes, tunnelBlocks(set, spec.Index))
	confirmed, err := view.Confirms(ctx, v1alpha1.ClusterID(member.Name))
	if err != nil {
		return wish{}, err
	}
	// A lane is written apart from its GatewayNode.
	laneless := slices.ContainsFunc(nodes, func(n v1alpha1.GatewayNode) bool { return n.Status.Lane == nil })
	if have != nil && (!confirmed || laneless) { // what the hub does not show may be its loss: no tunnel is taken down for it
		spec.Gateways = clusterset.KeepGateways(gateways, have.Spec.Gateways)
	} else {
		spec.Gateways = gateways
	}
	if refusal == nil {
		refusal = wrong
	}
	return wish{spec: spec, accepted: condition(refusal), held: len(spec.Gateways) > len(gateways)}, nil
}

// gatewayNodes are those of the cluster's GatewayNodes that can be used.
func (r *Reconciler) gatewayNodes(ctx context.Context, view hub.View, cluster v1alpha1.ClusterID) ([]v1alpha1.GatewayNode, error) {
	published, err := view.Gateways(ctx, cluster)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(published, func(a, b v1alpha1.GatewayNode) int { return cmp.Compare(a.Name, b.Name) })
	var usable []v1alpha1.GatewayNode
	var skipped []screen.Skipped
	for i := range published {
		node, faults := screen.Gateway(&published[i])
		skipped = append(skipped, faults...)
		if node != nil {
			usable = append(usable, *node)
		}
	}
	r.Intake.Note(cluster, "GatewayNodes", skipped...)
	return usable, nil
}

// tunnelBlocks are where the tunnel addresses of the member with that index lie.
func tunnelBlocks(set *v1alpha1.ClusterSet, index int32) []netip.Prefix {
	blocks := []netip.Prefix{clusterset.TransitBlock6(set.Spec.ClusterSetID, index)}
	for _, transit := range clusterset.Prefixes([]v1alpha1.CIDR{set.Spec.TransitCIDR}) {
		if block, err := clusterset.TransitBlock(transit, index); err == nil {
			blocks = append(blocks, block)
		}
	}
	return blocks
}

func (r *Reconciler) remote(ctx context.Context, name string) (*v1alpha1.RemoteCluster, error) {
	have := &v1alpha1.RemoteCluster{}
	if err := r.Client.Get(ctx, client.ObjectKey{Name: name}, have); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, nil
		}
		return nil, fmt.Errorf("reading RemoteCluster %s: %w", name, err)
	}
	return have, nil
}

func (r *Reconciler) write(ctx context.Context, have *v1alpha1.RemoteCluster, spec v1alpha1.RemoteClusterSpec, name string) (*v1alpha1.RemoteCluster, error) {
	if have == nil {
		want := &v1alpha1.RemoteCluster{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec}
		logf.FromContext(ctx).Info("member appeared", "index", spec.Index, "prefix", spec.CIDRs)
		return want, r.Client.Create(ctx, want)
	}
	if equality.Semantic.DeepEqual(have.Spec, spec) {
		return have, nil
	}
	want := have.DeepCopy()
	want.Spec = spec
	return want, r.Client.Update(ctx, want)
}

func (r *Reconciler) remove(ctx context.Context, have *v1alpha1.RemoteCluster) error {
	if have == nil {
		return nil
	}
	logf.FromContext(ctx).Info("member removed")
	r.Intake.Forget(v1alpha1.ClusterID(have.Name))
	return client.IgnoreNotFound(r.Client.Delete(ctx, have))
}
