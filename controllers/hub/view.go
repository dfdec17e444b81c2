package hub

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	coordinationv1 "k8s.io/api/coordination/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// View is what the hub says, from a synced cache, and the way to write to it. What it returns is the caller's.
type View struct {
	Cluster      v1alpha1.ClusterID // this one
	ClusterSetID string
	Namespace    string // of the hub

	// Authoritative: the hub is there and is the right one, so that what it does not say may count as gone. Otherwise
	// the view is what was last seen of it.
	Authoritative bool
	// Removed: the admin has taken this cluster out of the clusterset.
	Removed bool

	// Writer writes to the hub.
	Writer client.Client

	// Reader reads the cache.
	Reader client.Reader

	heartbeats *heartbeats
}

// View returns what the hub says. The error, a *NotConnectedError, says why there is nothing to be learnt from it, or
// that this cluster has no Member there: then nothing may be changed because of the hub.
func (h *Hub) View() (View, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.session == nil || h.status.Reason == v1alpha1.ReasonPending || h.session.standing.Load() == v1alpha1.ReasonNotAMember {
		return View{}, &NotConnectedError{h.status}
	}
	a := h.session.access
	return View{
		Cluster:       a.cluster,
		ClusterSetID:  a.clusterSetID,
		Namespace:     a.namespace,
		Authoritative: h.status.answers(),
		Removed:       h.session.standing.Load() == v1alpha1.ReasonRemoved,
		Writer:        h.session.direct,
		Reader:        h.session.reader,
		heartbeats:    h.heartbeats,
	}, nil
}

// get reads one object and tells whether it is there.
func (v View) get(ctx context.Context, name string, into client.Object) (bool, error) {
	if err := v.Reader.Get(ctx, client.ObjectKey{Namespace: v.Namespace, Name: name}, into); err != nil {
		if apierrors.IsNotFound(err) {
			return false, nil
		}
		return false, fmt.Errorf("reading %T %s from the hub's cache: %w", into, name, err)
	}
	return true, nil
}

func (v View) list(ctx context.Context, into client.ObjectList, options ...client.ListOption) error {
	if err := v.Reader.List(ctx, into, append(options, client.InNamespace(v.Namespace))...); err != nil {
		return fmt.Errorf("listing %T from the hub's cache: %w", into, err)
	}
	return nil
}

func ofCluster(cluster v1alpha1.ClusterID) client.MatchingFields {
	return client.MatchingFields{indexCluster: string(cluster)}
}

// Members returns all Members, by name.
func (v View) Members(ctx context.Context) ([]v1alpha1.Member, error) {
	list := &v1alpha1.MemberList{}
	if err := v.list(ctx, list); err != nil {
		return nil, err
	}
	slices.SortFunc(list.Items, func(a, b v1alpha1.Member) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return list.Items, nil
}

// Member returns the cluster's Member, nil if there is none.
func (v View) Member(ctx context.Context, cluster v1alpha1.ClusterID) (*v1alpha1.Member, error) {
	member := &v1alpha1.Member{}
	if found, err := v.get(ctx, string(cluster), member); err != nil || !found {
		return nil, err
	}
	return member, nil
}

// Export returns the cluster's export of namespace/name, nil if there is none. One that cannot be decoded has neither
// type nor ports.
func (v View) Export(ctx context.Context, cluster v1alpha1.ClusterID, namespace, name string) (*v1alpha1.ExportedService, error) {
	export := &v1alpha1.ExportedService{}
	found, err := v.get(ctx, clusterset.HubName(cluster, namespace, name), export)
	if err != nil || !found {
		return nil, err
	}
	if export.Spec.Type == "" { // it could not be decoded, and is no less there for that: its name says what it is of
		export.Spec.Namespace, export.Spec.Name = namespace, name
	}
	if clusterset.SourceCluster(export.Labels) != cluster || export.Spec.Namespace != namespace || export.Spec.Name != name {
		return nil, nil
	}
	return export, nil
}

// ExportNames returns the names, on the hub, of all that the cluster exports.
func (v View) ExportNames(ctx context.Context, cluster v1alpha1.ClusterID) ([]string, error) {
	exports := &v1alpha1.ExportedServiceList{}
	err := v.list(ctx, exports, ofCluster(cluster), client.UnsafeDisableDeepCopy) // only read here
	names := make([]string, 0, len(exports.Items))
	for i := range exports.Items {
		names = append(names, exports.Items[i].Name)
	}
	return names, err
}

// Exports returns all that the cluster exports.
func (v View) Exports(ctx context.Context, cluster v1alpha1.ClusterID) ([]v1alpha1.ExportedService, error) {
	list := &v1alpha1.ExportedServiceList{}
	err := v.list(ctx, list, ofCluster(cluster))
	return list.Items, err
}

// AllExports returns what all clusters export.
func (v View) AllExports(ctx context.Context) ([]v1alpha1.ExportedService, error) {
	list := &v1alpha1.ExportedServiceList{}
	err := v.list(ctx, list)
	return list.Items, err
}

// ExportsOf returns what all clusters export under namespace/name.
func (v View) ExportsOf(ctx context.Context, namespace, name string) ([]v1alpha1.ExportedService, error) {
	list := &v1alpha1.ExportedServiceList{}
	err := v.list(ctx, list, client.MatchingFields{indexExported: namespace + "/" + name})
	return list.Items, err
}

// ExportsIn returns what all clusters export from namespaces of that name.
func (v View) ExportsIn(ctx context.Context, namespace string) ([]v1alpha1.ExportedService, error) {
	list := &v1alpha1.ExportedServiceList{}
	err := v.list(ctx, list, client.MatchingFields{indexNamespace: namespace})
	return list.Items, err
}

// Slices returns the EndpointSlices that the cluster publishes for namespace/name.
func (v View) Slices(ctx context.Context, cluster v1alpha1.ClusterID, namespace, name string) ([]discoveryv1.EndpointSlice, error) {
	list := &discoveryv1.EndpointSliceList{}
	err := v.list(ctx, list, client.MatchingFields{indexService: serviceKey(string(cluster), namespace, name)})
	return list.Items, err
}

// OwnSlices returns the EndpointSlices that this cluster has on the hub for namespace/name, by their labels or by their
// names: somebody may have changed the labels.
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

// AllSlices returns the EndpointSlices that all clusters publish.
func (v View) AllSlices(ctx context.Context) ([]discoveryv1.EndpointSlice, error) {
	list := &discoveryv1.EndpointSliceList{}
	err := v.list(ctx, list)
	return list.Items, err
}

// SlicesOf returns all EndpointSlices that the cluster publishes.
func (v View) SlicesOf(ctx context.Context, cluster v1alpha1.ClusterID) ([]discoveryv1.EndpointSlice, error) {
	list := &discoveryv1.EndpointSliceList{}
	err := v.list(ctx, list, ofCluster(cluster))
	return list.Items, err
}

// Slice returns the EndpointSlice of that name, nil if there is none.
func (v View) Slice(ctx context.Context, name string) (*discoveryv1.EndpointSlice, error) {
	slice := &discoveryv1.EndpointSlice{}
	if found, err := v.get(ctx, name, slice); err != nil || !found {
		return nil, err
	}
	return slice, nil
}

// Gateways returns the GatewayNodes that the cluster publishes.
func (v View) Gateways(ctx context.Context, cluster v1alpha1.ClusterID) ([]v1alpha1.GatewayNode, error) {
	list := &v1alpha1.GatewayNodeList{}
	err := v.list(ctx, list, ofCluster(cluster))
	return list.Items, err
}

// Gateway returns the GatewayNode of that name on the hub, nil if there is none.
func (v View) Gateway(ctx context.Context, name string) (*v1alpha1.GatewayNode, error) {
	gateway := &v1alpha1.GatewayNode{}
	if found, err := v.get(ctx, name, gateway); err != nil || !found {
		return nil, err
	}
	return gateway, nil
}

// Heartbeat returns the cluster's Lease, nil if there is none.
func (v View) Heartbeat(ctx context.Context, cluster v1alpha1.ClusterID) (*coordinationv1.Lease, error) {
	lease := &coordinationv1.Lease{}
	if found, err := v.get(ctx, clusterset.LeaseName(cluster), lease); err != nil || !found {
		return nil, err
	}
	return lease, nil
}
