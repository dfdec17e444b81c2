// Package remotecluster owns this cluster's RemoteClusters: what it may believe of every other
// member, from the admin's Members and the GatewayNodes that members publish. It also owns the
// conditions Accepted, Reachable and ContentAccepted. The gateways write the links.
package remotecluster

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/hub"
	"github.com/tombolo-net/tombolo/controllers/internal/inuse"
	"github.com/tombolo-net/tombolo/controllers/internal/optional"
	"github.com/tombolo-net/tombolo/controllers/internal/retry"
	"github.com/tombolo-net/tombolo/controllers/internal/skipped"
	"github.com/tombolo-net/tombolo/controllers/mcs/screen"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// +kubebuilder:rbac:groups=clusterset.tombolo.dev,resources=remoteclusters,verbs=get;list;watch;create;update;patch;delete
// +kubebuilder:rbac:groups=clusterset.tombolo.dev,resources=remoteclusters/status,verbs=get;update;patch
// +kubebuilder:rbac:groups=clusterset.tombolo.dev,resources=clustersets,verbs=get;list;watch
// +kubebuilder:rbac:groups=clusterset.tombolo.dev,namespace=tombolo-system,resources=gatewaynodes,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=nodes,verbs=get;list;watch
// +kubebuilder:rbac:groups="";events.k8s.io,resources=events,verbs=create;patch

// Reconciler maintains one RemoteCluster; its name is the cluster's ID.
type Reconciler struct {
	Client client.Client // required, of this cluster, cached
	Hub    *hub.Hub      // required
	InUse  inuse.Reader  // required
	// Namespace of this cluster's GatewayNodes, the operator's.
	Namespace string // required
	// Skipped knows which of the cluster's objects are skipped. This controller notes GatewayNodes
	// in it.
	Skipped *skipped.Ledger      // required
	Events  events.EventRecorder // required, for events about RemoteClusters

	paces paces
}

// Reconcile makes the RemoteCluster what its Member and gateways say. If that is refused, what is
// in use stays.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	have, err := optional.Get[v1alpha1.RemoteCluster](ctx, r.Client, request.NamespacedName)
	if err != nil {
		return reconcile.Result{}, err
	}
	view, err := r.Hub.View()
	if err != nil { // there is nothing to learn, but links come and go
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
		return r.writeStatus(ctx, have, absent(view, request.Name, have))
	}
	set, err := optional.ClusterSet(ctx, r.Client)
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
	var later time.Duration
	if have != nil {
		if later = r.paces.wait(request.Name, have.Spec, want.spec); later > 0 {
			want.spec.Gateways = have.Spec.Gateways
		}
	}
	current, err := r.write(ctx, have, want.spec, request.Name)
	if err != nil {
		return retry.Result(err)
	}
	result, err := r.writeStatus(ctx, current, want.accepted)
	if err == nil && later > 0 {
		return reconcile.Result{RequeueAfter: later}, nil
	}
	if err == nil && want.held && view.Authoritative {
		// The heartbeat and the objects that it speaks of arrive by two watches. The later of them
		// may be no event of this cluster's gateways.
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
	in := screen.MembersInput{Own: view.Cluster, Members: members, InUse: map[v1alpha1.ClusterID]v1alpha1.RemoteClusterSpec{}}
	for _, rc := range list.Items {
		if len(rc.Spec.CIDRs) > 0 {
			in.InUse[v1alpha1.ClusterID(rc.Name)] = rc.Spec
		}
	}
	if in.Blocks, err = r.blocks(ctx, view, set); err != nil {
		return nil, err
	}
	in.Accept = clusterset.Prefixes(set.Spec.AcceptCIDRs)
	if refusal, refused := screen.Members(in)[cluster]; refused {
		return &refusal, nil
	}
	return nil, nil
}

// blocks are the addresses that no other member may have.
func (r *Reconciler) blocks(ctx context.Context, view hub.View, set *v1alpha1.ClusterSet) ([]clusterset.Block, error) {
	used, err := r.InUse.Blocks(ctx)
	if err != nil {
		return nil, err
	}
	servers, err := r.InUse.APIServer(ctx)
	if err != nil {
		return nil, err
	}
	if a := view.Address; a.IsValid() {
		servers = append(servers, clusterset.Block{Prefix: netip.PrefixFrom(a, a.BitLen()), Owner: "the hub, " + set.Spec.Hub.Server})
	}
	return slices.Concat(used, servers, clusterset.OwnBlocks(&set.Spec)), nil
}

// places are where the member's gateways may be.
func (r *Reconciler) places(ctx context.Context, view hub.View, set *v1alpha1.ClusterSet, member *v1alpha1.Member) (screen.Places, error) {
	taken, err := r.InUse.ServiceBlocks(ctx)
	if err != nil {
		return screen.Places{}, err
	}
	own, err := view.Member(ctx, view.Cluster)
	if err != nil {
		return screen.Places{}, err
	}
	if own != nil {
		taken = append(taken, clusterset.BlocksOf(clusterset.Prefixes(own.Spec.CIDRs), "Member "+own.Name)...)
	}
	return screen.Places{
		Allowed: clusterset.Prefixes(member.Spec.EndpointCIDRs),
		Taken:   append(taken, clusterset.OwnBlocks(&set.Spec)...),
	}, nil
}

// desired is what a RemoteCluster should be.
type desired struct {
	spec     v1alpha1.RemoteClusterSpec
	accepted *metav1.Condition
	held     bool // it has gateways that the hub does not show, and it is not certain that they are gone
}

func (r *Reconciler) wanted(ctx context.Context, view hub.View, set *v1alpha1.ClusterSet, have *v1alpha1.RemoteCluster, member *v1alpha1.Member,
	refusal *clusterset.Refusal) (desired, error) {
	spec := v1alpha1.RemoteClusterSpec{
		Index:      member.Spec.Index,
		CIDRs:      member.Spec.CIDRs,
		Region:     member.Spec.Region,
		ZoneDomain: member.Spec.ZoneDomain,
	}
	if refusal != nil { // what is in use stays, unless this cluster's admin says no; a new member gets nothing
		if have == nil || len(have.Spec.CIDRs) == 0 || refusal.Reason == v1alpha1.ReasonCIDRNotAccepted {
			return desired{spec: v1alpha1.RemoteClusterSpec{Index: member.Spec.Index}, accepted: condition(refusal)}, nil
		}
		spec = have.Spec
	}
	places, err := r.places(ctx, view, set, member)
	if err != nil {
		return desired{}, err
	}
	nodes, shown, err := r.gatewayNodes(ctx, view, v1alpha1.ClusterID(member.Name), places)
	if err != nil {
		return desired{}, err
	}
	gateways, wrong := screen.RemoteGateways(nodes, tunnelBlocks(set, spec.Index))
	confirmed, err := view.ConfirmsGateways(ctx, v1alpha1.ClusterID(member.Name), shown)
	if err != nil {
		return desired{}, err
	}
	// A lane is written later than its GatewayNode.
	laneless := slices.ContainsFunc(nodes, func(n v1alpha1.GatewayNode) bool { return n.Status.Lane == nil })
	if have != nil && (!confirmed || laneless) { // the hub may have lost what it does not show: keep the tunnels
		spec.Gateways = screen.KeepGateways(gateways, have.Spec.Gateways)
	} else {
		spec.Gateways = gateways
	}
	if refusal == nil {
		refusal = wrong
	}
	return desired{spec: spec, accepted: condition(refusal), held: len(spec.Gateways) > len(gateways)}, nil
}

// gatewayNodes are the cluster's GatewayNodes that can be used, and the names of all that the hub shows.
// It notes the others as skipped.
func (r *Reconciler) gatewayNodes(ctx context.Context, view hub.View, cluster v1alpha1.ClusterID,
	places screen.Places) (usable []v1alpha1.GatewayNode, shown []string, err error) {
	published, err := view.Gateways(ctx, cluster)
	if err != nil {
		return nil, nil, err
	}
	keys, err := r.keysInUse(ctx, cluster)
	if err != nil {
		return nil, nil, err
	}
	slices.SortFunc(published, func(a, b v1alpha1.GatewayNode) int { return cmp.Compare(a.Name, b.Name) })
	var skipped []screen.Skipped
	for i := range published {
		shown = append(shown, published[i].Name)
		node, faults := screen.Gateway(&published[i], places)
		skipped = append(skipped, faults...)
		if node == nil {
			continue
		}
		if owner, taken := keys[node.Spec.PublicKey]; taken {
			skipped = append(skipped, screen.KeyInUse(node, owner))
			continue
		}
		usable = append(usable, *node)
	}
	r.Skipped.Note(cluster, "GatewayNodes", skipped...)
	return usable, shown, nil
}

// keysInUse are the public keys that others use, and who: the gateways of this cluster, and those of
// other members. A key that the cluster uses already is not among them: it stays with whom it was
// first seen.
func (r *Reconciler) keysInUse(ctx context.Context, cluster v1alpha1.ClusterID) (map[string]string, error) {
	var own v1alpha1.GatewayNodeList
	if err := r.Client.List(ctx, &own, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing GatewayNodes: %w", err)
	}
	var remotes v1alpha1.RemoteClusterList
	if err := r.Client.List(ctx, &remotes, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing RemoteClusters: %w", err)
	}
	keys := map[string]string{}
	for i := range own.Items {
		keys[own.Items[i].Spec.PublicKey] = "gateway " + own.Items[i].Name + " of this cluster"
	}
	i := slices.IndexFunc(remotes.Items, func(c v1alpha1.RemoteCluster) bool { return c.Name == string(cluster) })
	for j, c := range remotes.Items {
		for _, g := range c.Spec.Gateways {
			if j != i {
				keys[g.PublicKey] = fmt.Sprintf("gateway %s of cluster %s", g.Name, c.Name)
			}
		}
	}
	if i >= 0 {
		for _, g := range remotes.Items[i].Spec.Gateways {
			delete(keys, g.PublicKey)
		}
	}
	return keys, nil
}

// tunnelBlocks are the blocks for the tunnel addresses of the member with that index, IPv6 first: a
// refusal names them in this order.
func tunnelBlocks(set *v1alpha1.ClusterSet, index int32) []netip.Prefix {
	blocks := clusterset.TransitBlocks(&set.Spec, index)
	slices.Reverse(blocks)
	return blocks
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
	r.paces.forget(have.Name)
	r.Skipped.Forget(v1alpha1.ClusterID(have.Name))
	return client.IgnoreNotFound(r.Client.Delete(ctx, have))
}
