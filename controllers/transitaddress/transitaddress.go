// Package transitaddress owns the transit addresses of this cluster's nodes: an annotation on each
// Node, with one address of each family. Other clusters see it as the source of the node's
// host-network clients. It does not route or translate (the dataplane does). It changes nothing
// else of a Node, and an admission policy makes sure of that.
package transitaddress

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/internal/optional"
	"github.com/tombolo-net/tombolo/controllers/internal/retry"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// reasonExhausted is the reason of the event on a node for which no transit address is free.
const reasonExhausted = "TransitAddressesExhausted"

// +kubebuilder:rbac:groups=clusterset.tombolo.dev,resources=clustersets,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=nodes,verbs=get;list;watch;patch

// Reconciler maintains the transit addresses of all nodes.
type Reconciler struct {
	Client client.Client        // required, of this cluster, cached
	Direct client.Reader        // required, of this cluster, not cached: two nodes must not get one address
	Events events.EventRecorder // required

	// reported are the nodes for which an event said that no address is free. Reconciles come one
	// at a time.
	reported map[types.UID]bool
	// assigned is what every node has. It outlives a change of the annotations, which is not this
	// operator's.
	assigned record
}

// Reconcile assigns every node its addresses, once this cluster's index is known. It removes them
// when there is no ClusterSet any more.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	blocks, known, err := r.blocks(ctx, request.NamespacedName)
	if err != nil || !known {
		return reconcile.Result{}, err
	}
	cached, err := list(ctx, r.Client, &corev1.NodeList{})
	if err != nil {
		return reconcile.Result{}, err
	}
	wanted := assign(cached, blocks, r.assigned)
	if len(changes(cached, wanted)) == 0 && len(wanted.full) == 0 {
		r.assigned = wanted.numbers
		return reconcile.Result{}, nil
	}
	// The cache may lack what was assigned last, also by an operator that led before.
	nodes, err := list(ctx, r.Direct, metadataList())
	if err != nil {
		return reconcile.Result{}, err
	}
	wanted = assign(nodes, blocks, r.assigned)
	r.report(nodes, wanted.full)
	for _, node := range changes(nodes, wanted) {
		if err := r.annotate(ctx, node, wanted.values[node.Name]); err != nil {
			return retry.Result(err)
		}
	}
	r.assigned = wanted.numbers
	return reconcile.Result{}, nil
}

// blocks are this cluster's transit blocks, none without a ClusterSet. known is false until the hub
// has said which index this cluster has.
func (r *Reconciler) blocks(ctx context.Context, key client.ObjectKey) (blocks []netip.Prefix, known bool, err error) {
	set, err := optional.Get[v1alpha1.ClusterSet](ctx, r.Client, key)
	if err != nil || set == nil {
		return nil, err == nil, err
	}
	return clusterset.TransitBlocks(&set.Spec, set.Status.Index), set.Status.Index != 0, nil
}

func metadataList() *metav1.PartialObjectMetadataList {
	all := &metav1.PartialObjectMetadataList{}
	all.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("NodeList"))
	return all
}

// list reads the nodes into all, a NodeList or a list of their metadata, and returns the metadata.
func list(ctx context.Context, reader client.Reader, all client.ObjectList) ([]metav1.PartialObjectMetadata, error) {
	if err := reader.List(ctx, all); err != nil {
		return nil, fmt.Errorf("listing Nodes: %w", err)
	}
	if metadata, ok := all.(*metav1.PartialObjectMetadataList); ok {
		return metadata.Items, nil
	}
	var nodes []metav1.PartialObjectMetadata
	for _, node := range all.(*corev1.NodeList).Items {
		nodes = append(nodes, metav1.PartialObjectMetadata{ObjectMeta: node.ObjectMeta})
	}
	return nodes, nil
}

// changes are the nodes whose annotation is not as wanted, the oldest first. A node that gets no
// address, because none is free, does not keep the address of another.
func changes(nodes []metav1.PartialObjectMetadata, wanted assignment) []metav1.PartialObjectMetadata {
	return slices.DeleteFunc(bySeniority(nodes), func(node metav1.PartialObjectMetadata) bool {
		value, has := node.Annotations[v1alpha1.AnnotationTransitAddress]
		want, wants := wanted.values[node.Name]
		return value == want && has == wants
	})
}

// annotate writes the annotation, or removes it if value is empty, unless the Node has changed
// since it was read.
func (r *Reconciler) annotate(ctx context.Context, node metav1.PartialObjectMetadata, value string) error {
	node.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Node"))
	before := node.DeepCopy()
	if value == "" {
		delete(node.Annotations, v1alpha1.AnnotationTransitAddress)
	} else {
		metav1.SetMetaDataAnnotation(&node.ObjectMeta, v1alpha1.AnnotationTransitAddress, value)
	}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	if err := r.Client.Patch(ctx, &node, patch); err != nil {
		return fmt.Errorf("assigning node %s the transit addresses %q: %w", node.Name, value, err)
	}
	logf.FromContext(ctx).Info("transit addresses assigned", "node", node.Name, "addresses", value)
	return nil
}

// report makes one event for each node for which no address is free.
func (r *Reconciler) report(nodes []metav1.PartialObjectMetadata, full []string) {
	lacking := map[types.UID]bool{}
	for _, node := range nodes {
		if !slices.Contains(full, node.Name) {
			continue
		}
		lacking[node.UID] = true
		if r.reported[node.UID] {
			continue
		}
		r.Events.Eventf(&corev1.Node{ObjectMeta: node.ObjectMeta}, nil, corev1.EventTypeWarning, reasonExhausted, "AssignTransitAddress",
			"all %d transit addresses of this cluster's nodes are assigned: this node and its hostNetwork pods reach no other cluster, its other pods do; delete a Node to free an address",
			clusterset.NodeAddresses)
	}
	r.reported = lacking
}
