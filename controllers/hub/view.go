package hub

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"

	coordinationv1 "k8s.io/api/coordination/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/internal/optional"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// View is what the hub says, from a synced cache, and the client that writes to the hub. The caller
// owns what it returns.
type View struct {
	Cluster      v1alpha1.ClusterID // this one
	ClusterSetID string
	Namespace    string // of the hub
	// Address is where the hub's API server, or what stands before it, was last reached. The zero
	// value means that it is not known.
	Address netip.Addr

	// Authoritative: the hub is there and is the right one, so what it does not show may count as
	// gone. Otherwise the View is what we last saw of the hub.
	Authoritative bool
	// Removed: the admin has taken this cluster out of the clusterset.
	Removed bool

	// Writer writes to the hub.
	Writer client.Client

	// Reader reads the cache.
	Reader client.Reader

	heartbeats *heartbeats
	budgets    *budgets
	published  *published
}

// View returns what the hub says. The error, a *NotConnectedError, says why there is nothing to
// learn from it, or that this cluster has no Member there, or that another cluster uses its ID. Then
// nobody may change anything because of the hub.
func (h *Hub) View() (View, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.session == nil || h.status.Reason == v1alpha1.ReasonPending || h.session.stranger() {
		return View{}, &NotConnectedError{h.status}
	}
	a := h.session.access
	address, _ := h.session.remote.Load().(netip.Addr)
	return View{
		Address:       address,
		Cluster:       a.cluster,
		ClusterSetID:  a.clusterSetID,
		Namespace:     a.namespace,
		Authoritative: h.status.answers(),
		Removed:       h.session.lastMembership.Load() == v1alpha1.ReasonRemoved,
		Writer:        h.session.direct,
		Reader:        h.session.reader,
		heartbeats:    h.heartbeats,
		budgets:       h.budgets,
		published:     &h.session.published,
	}, nil
}

// get returns the object of that name on the hub, nil if there is none.
func get[T any, P interface {
	*T
	client.Object
}](ctx context.Context, v View, name string) (P, error) {
	found, err := optional.Get[T, P](ctx, v.Reader, client.ObjectKey{Namespace: v.Namespace, Name: name})
	if err != nil {
		return nil, fmt.Errorf("asking the hub's cache: %w", err)
	}
	return found, nil
}

func (v View) list(ctx context.Context, into client.ObjectList, options ...client.ListOption) error {
	if err := v.Reader.List(ctx, into, append(options, client.InNamespace(v.Namespace))...); err != nil {
		return fmt.Errorf("listing %T from the hub's cache: %w", into, err)
	}
	return nil
}

// OfCluster selects the objects that the cluster published.
func OfCluster(cluster v1alpha1.ClusterID) client.ListOption {
	return client.MatchingFields{indexCluster: string(cluster)}
}

// OfService selects the EndpointSlices that the cluster published for namespace/name.
func OfService(cluster v1alpha1.ClusterID, namespace, name string) client.ListOption {
	return client.MatchingFields{indexService: serviceKey(string(cluster), namespace, name)}
}

// FromNamespace selects the ExportedServices that any cluster exports from a namespace of that
// name.
func FromNamespace(namespace string) client.ListOption {
	return client.MatchingFields{indexNamespace: namespace}
}

// Members returns all Members, by name.
func (v View) Members(ctx context.Context) ([]v1alpha1.Member, error) {
	list := &v1alpha1.MemberList{}
	if err := v.list(ctx, list); err != nil {
		return nil, err
	}
	slices.SortFunc(list.Items, func(a, b v1alpha1.Member) int { return cmp.Compare(a.Name, b.Name) })
	return list.Items, nil
}

// Member returns the cluster's Member, nil if there is none.
func (v View) Member(ctx context.Context, cluster v1alpha1.ClusterID) (*v1alpha1.Member, error) {
	return get[v1alpha1.Member](ctx, v, string(cluster))
}

// Export returns the cluster's export of namespace/name, nil if there is none. An export that
// cannot be decoded has neither type nor ports.
func (v View) Export(ctx context.Context, cluster v1alpha1.ClusterID, namespace, name string) (*v1alpha1.ExportedService, error) {
	export, err := get[v1alpha1.ExportedService](ctx, v, clusterset.HubName(cluster, namespace, name))
	if err != nil || export == nil {
		return nil, err
	}
	if export.Spec.Type == "" { // it is there but could not be decoded: its name says which Service it is of
		export.Spec.Namespace, export.Spec.Name = namespace, name
	}
	if clusterset.SourceCluster(export.Labels) != cluster || export.Spec.Namespace != namespace || export.Spec.Name != name {
		return nil, nil
	}
	return export, nil
}

// OwnExport returns what the hub has under the name of this cluster's export of namespace/name,
// even if somebody changed its content; nil if there is nothing.
func (v View) OwnExport(ctx context.Context, namespace, name string) (*v1alpha1.ExportedService, error) {
	return get[v1alpha1.ExportedService](ctx, v, clusterset.HubName(v.Cluster, namespace, name))
}

// ExportNames returns the names, on the hub, of all that the cluster exports.
func (v View) ExportNames(ctx context.Context, cluster v1alpha1.ClusterID) ([]string, error) {
	exports := &v1alpha1.ExportedServiceList{}
	err := v.list(ctx, exports, OfCluster(cluster), client.UnsafeDisableDeepCopy) // only read here
	names := make([]string, 0, len(exports.Items))
	for i := range exports.Items {
		names = append(names, exports.Items[i].Name)
	}
	return names, err
}

// ExportsOf returns what all clusters export under namespace/name.
func (v View) ExportsOf(ctx context.Context, namespace, name string) ([]v1alpha1.ExportedService, error) {
	list := &v1alpha1.ExportedServiceList{}
	err := v.list(ctx, list, client.MatchingFields{indexExported: namespace + "/" + name})
	return list.Items, err
}

// Slices returns the EndpointSlices that the cluster publishes for namespace/name.
func (v View) Slices(ctx context.Context, cluster v1alpha1.ClusterID, namespace, name string) ([]discoveryv1.EndpointSlice, error) {
	list := &discoveryv1.EndpointSliceList{}
	err := v.list(ctx, list, OfService(cluster, namespace, name))
	return list.Items, err
}

// SlicesToRead is Slices without copies: the caller must not change them. A Service may have thousands.
func (v View) SlicesToRead(ctx context.Context, cluster v1alpha1.ClusterID, namespace, name string) ([]discoveryv1.EndpointSlice, error) {
	list := &discoveryv1.EndpointSliceList{}
	err := v.list(ctx, list, OfService(cluster, namespace, name), client.UnsafeDisableDeepCopy)
	return list.Items, err
}

// OwnSlices returns the EndpointSlices that this cluster has on the hub for namespace/name. It
// finds them by their labels and by their names, because somebody may have changed the labels.
func (v View) OwnSlices(ctx context.Context, namespace, name string) ([]discoveryv1.EndpointSlice, error) {
	labelled, err := v.Slices(ctx, v.Cluster, namespace, name)
	if err != nil {
		return nil, err
	}
	named := &discoveryv1.EndpointSliceList{}
	if err := v.list(ctx, named, client.MatchingFields{indexBase: clusterset.HubName(v.Cluster, namespace, name)}); err != nil {
		return nil, err
	}
	all := append(labelled, named.Items...)
	slices.SortFunc(all, func(a, b discoveryv1.EndpointSlice) int { return cmp.Compare(a.Name, b.Name) })
	return slices.CompactFunc(all, func(a, b discoveryv1.EndpointSlice) bool { return a.Name == b.Name }), nil
}

// Slice returns the EndpointSlice of that name, nil if there is none.
func (v View) Slice(ctx context.Context, name string) (*discoveryv1.EndpointSlice, error) {
	return get[discoveryv1.EndpointSlice](ctx, v, name)
}

// Gateways returns the GatewayNodes that the cluster publishes.
func (v View) Gateways(ctx context.Context, cluster v1alpha1.ClusterID) ([]v1alpha1.GatewayNode, error) {
	list := &v1alpha1.GatewayNodeList{}
	err := v.list(ctx, list, OfCluster(cluster))
	return list.Items, err
}

// Gateway returns the GatewayNode of that name on the hub, nil if there is none.
func (v View) Gateway(ctx context.Context, name string) (*v1alpha1.GatewayNode, error) {
	return get[v1alpha1.GatewayNode](ctx, v, name)
}

// Heartbeat returns the cluster's Lease, nil if there is none.
func (v View) Heartbeat(ctx context.Context, cluster v1alpha1.ClusterID) (*coordinationv1.Lease, error) {
	return get[coordinationv1.Lease](ctx, v, clusterset.LeaseName(cluster))
}
