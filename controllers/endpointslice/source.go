package endpointslice

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/hub"
	"github.com/tombolo-net/tombolo/controllers/internal/optional"
	"github.com/tombolo-net/tombolo/controllers/mcs"
	"github.com/tombolo-net/tombolo/controllers/mcs/screen"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// importedSlice returns what the imported slice should be, and what is left out of it. It returns
// nil if what there is must stay.
func importedSlice(published *discoveryv1.EndpointSlice, owner *mcsv1beta1.ServiceImport, source mcs.Source,
	have *discoveryv1.EndpointSlice) (*discoveryv1.EndpointSlice, []screen.Skipped) {
	want, skipped := mcs.ImportedSlice(published, owner, source)
	if slices.ContainsFunc(skipped, func(s screen.Skipped) bool { return s.Reason == screen.SkippedSlice }) {
		return nil, skipped
	}
	if source.Ports == nil && have != nil {
		want.Ports = have.Ports
	}
	mcs.SetTrigger(want, mcs.TriggerOf(published.Annotations))
	return want, skipped
}

// source is the cluster as it is seen from here, with what it publishes for the Service; nil if it
// is not known here, so nothing may be changed.
func (r *Reconciler) source(ctx context.Context, view hub.View, id v1alpha1.ClusterID, service client.ObjectKey) (*mcs.Source, error) {
	source, err := r.cluster(ctx, view, id)
	if err != nil || source == nil {
		return nil, err
	}
	export, err := view.Export(ctx, id, service.Namespace, service.Name)
	if err != nil {
		return nil, err
	}
	if export != nil && export.Spec.Type != "" { // else the hub has lost it, or it cannot be read
		source.Ports = append([]mcsv1beta1.ServicePort{}, export.Spec.Ports...)
	}
	if source.Own {
		if source.Nodes, err = r.nodes(ctx, service); err != nil {
			return nil, err
		}
	}
	return source, nil
}

// nodes are those that the local slices of a Service name, by address.
func (r *Reconciler) nodes(ctx context.Context, service client.ObjectKey) (map[string]string, error) {
	var local discoveryv1.EndpointSliceList
	if err := r.Client.List(ctx, &local, client.InNamespace(service.Namespace),
		client.MatchingLabels{discoveryv1.LabelServiceName: service.Name}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing EndpointSlices of Service %s: %w", service, err)
	}
	nodes := map[string]string{}
	for i := range local.Items {
		maps.Copy(nodes, nodesOf(&local.Items[i]))
	}
	return nodes, nil
}

// nodesOf are the nodes that a local slice names, by address.
func nodesOf(slice *discoveryv1.EndpointSlice) map[string]string {
	nodes := make(map[string]string, len(slice.Endpoints))
	for _, e := range slice.Endpoints {
		if e.NodeName == nil || len(e.Addresses) == 0 || len(validation.IsDNS1123Subdomain(*e.NodeName)) > 0 {
			continue
		}
		if a, err := netip.ParseAddr(e.Addresses[0]); err == nil {
			nodes[a.String()] = *e.NodeName
		}
	}
	return nodes
}

// cluster is the cluster as it is seen from here, without what it publishes; nil if it is not known
// here.
func (r *Reconciler) cluster(ctx context.Context, view hub.View, id v1alpha1.ClusterID) (*mcs.Source, error) {
	member, err := view.Member(ctx, id)
	if err != nil || member == nil {
		return nil, err
	}
	if id == view.Cluster {
		return &mcs.Source{Cluster: id, Own: true, CIDRs: clusterset.Prefixes(member.Spec.CIDRs)}, nil
	}
	own, err := view.Member(ctx, view.Cluster)
	if err != nil || own == nil {
		return nil, err
	}
	remote, err := optional.Get[v1alpha1.RemoteCluster](ctx, r.Client, client.ObjectKey{Name: string(id)})
	if err != nil || remote == nil {
		return nil, err
	}
	cidrs := clusterset.Prefixes(remote.Spec.CIDRs)
	if len(cidrs) == 0 {
		return nil, nil // it is not accepted here, which removes nothing
	}
	return &mcs.Source{Cluster: id, CIDRs: cidrs, SameZones: areaOf(own).SameZones(areaOf(member))}, nil
}

func areaOf(m *v1alpha1.Member) clusterset.Area {
	return clusterset.Area{Region: m.Spec.Region, ZoneDomain: m.Spec.ZoneDomain}
}
