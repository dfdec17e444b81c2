// Package transitaddress owns the transit addresses of this cluster's nodes: the annotation by which each Node has one of
// each family, as the source that other clusters see of its host-network clients. It routes and translates nothing (the
// dataplane does), and changes nothing else of a Node, as an admission policy sees to.
package transitaddress

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/internal/retry"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// +kubebuilder:rbac:groups=clusterset.tombolo.dev,resources=clustersets,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=nodes,verbs=get;list;watch;patch

// reasonExhausted is the reason of the event of a node for which no transit address is free.
const reasonExhausted = "TransitAddressesExhausted"

// Reconciler keeps the transit addresses of all nodes.
type Reconciler struct {
	Client client.Client        // required, of this cluster, cached
	Direct client.Reader        // required, of this cluster, not cached: two nodes must not get one address
	Events events.EventRecorder // required

	// reported are the nodes whose lack of an address was told. Reconciles come one at a time.
	reported map[types.UID]bool
}

// SetUp adds the controller to the manager. One reconcile at a time: addresses are given out one by one.
func (r *Reconciler) SetUp(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("nodeaddress").
		WithOptions(retry.Options(1)).
		For(&v1alpha1.ClusterSet{}).
		Watches(&corev1.Node{}, handler.EnqueueRequestsFromMapFunc(theOne), builder.WithPredicates(annotationChanged())).
		Complete(r)
}

func theOne(context.Context, client.Object) []reconcile.Request {
	return []reconcile.Request{{NamespacedName: client.ObjectKey{Name: v1alpha1.ClusterSetName}}}
}

// annotationChanged lets through nodes that come, go, or have another annotation.
func annotationChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		const key = v1alpha1.AnnotationTransitAddress
		return e.ObjectOld.GetAnnotations()[key] != e.ObjectNew.GetAnnotations()[key]
	}}
}

// Reconcile gives every node its addresses, once this cluster's index is known, and takes them back when there is no
// ClusterSet any more.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	blocks, known, err := r.blocks(ctx, request.NamespacedName)
	if err != nil || !known {
		return reconcile.Result{}, err
	}
	cached, err := list(ctx, r.Client, &corev1.NodeList{})
	if err != nil {
		return reconcile.Result{}, err
	}
	wanted := assign(cached, blocks)
	if len(changes(cached, wanted)) == 0 && len(wanted.full) == 0 {
		return reconcile.Result{}, nil
	}
	// The cache need not have what was given last, also by an operator that led before.
	nodes, err := list(ctx, r.Direct, metadataList())
	if err != nil {
		return reconcile.Result{}, err
	}
	wanted = assign(nodes, blocks)
	r.report(nodes, wanted.full)
	for _, node := range changes(nodes, wanted) {
		if err := r.annotate(ctx, node, wanted.values[node.Name]); err != nil {
			return retry.Result(err)
		}
	}
	return reconcile.Result{}, nil
}

// blocks are this cluster's transit blocks, none without a ClusterSet; known is false while the hub has not said which.
func (r *Reconciler) blocks(ctx context.Context, key client.ObjectKey) (blocks []netip.Prefix, known bool, err error) {
	set := &v1alpha1.ClusterSet{}
	if err := r.Client.Get(ctx, key, set); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, true, nil
		}
		return nil, false, fmt.Errorf("reading the ClusterSet: %w", err)
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

// changes are the nodes whose annotation is not as wanted, by name. One that has no address, as none is free, keeps no
// other node's.
func changes(nodes []metav1.PartialObjectMetadata, wanted assignment) []metav1.PartialObjectMetadata {
	return slices.DeleteFunc(bySeniority(nodes), func(node metav1.PartialObjectMetadata) bool {
		value, has := node.Annotations[v1alpha1.AnnotationTransitAddress]
		want, wants := wanted.values[node.Name]
		return value == want && has == wants
	})
}

// annotate writes the annotation, or takes it away if value is empty, unless the Node has changed since it was read.
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
		return fmt.Errorf("giving node %s the transit addresses %q: %w", node.Name, value, err)
	}
	logf.FromContext(ctx).Info("transit addresses given", "node", node.Name, "addresses", value)
	return nil
}

// report tells, once for each node, that no address is free for it.
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
		r.Events.Eventf(&corev1.Node{ObjectMeta: node.ObjectMeta}, nil, corev1.EventTypeWarning, reasonExhausted, "GiveTransitAddress",
			"all of this cluster's %d transit addresses for nodes are given: processes of this node, and its pods with hostNetwork, reach no other cluster, its other pods do; an address becomes free when a Node is deleted",
			clusterset.NodeAddresses)
	}
	r.reported = lacking
}
