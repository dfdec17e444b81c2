package topology

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// services collects what the clusters say of each name.
type services map[types.NamespacedName]*Service

func servicesOf(snapshots []counted) []Service {
	all := services{}
	for i := range snapshots {
		all.add(snapshots[i])
	}
	list := make([]Service, 0, len(all))
	for _, s := range all {
		slices.SortFunc(s.Exports, func(a, b Export) int { return cmp.Compare(a.Cluster, b.Cluster) })
		slices.SortFunc(s.Imports, func(a, b Import) int { return cmp.Compare(a.Cluster, b.Cluster) })
		list = append(list, *s)
	}
	slices.SortFunc(list, func(a, b Service) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return list
}

// of is the Service of that name, which is made if it is new.
func (all services) of(namespace, name string) *Service {
	key := types.NamespacedName{Namespace: namespace, Name: name}
	if all[key] == nil {
		all[key] = &Service{Namespace: namespace, Name: name}
	}
	return all[key]
}

func (all services) add(s counted) {
	cluster := idOf(s.Snapshot)
	exportPolicies := map[types.NamespacedName][]*v1alpha1.ExportPolicy{}
	for i := range s.ExportPolicies {
		target := clusterset.ExportPolicyTarget(&s.ExportPolicies[i])
		exportPolicies[target] = append(exportPolicies[target], &s.ExportPolicies[i])
	}
	for i := range s.Exports {
		e := &s.Exports[i]
		service := all.of(e.Namespace, e.Name)
		service.Exports = append(service.Exports, exportOf(cluster, e, exportPolicies[types.NamespacedName{Namespace: e.Namespace, Name: e.Name}]))
	}
	trafficPolicies := map[types.NamespacedName][]*v1alpha1.TrafficPolicy{}
	for i := range s.TrafficPolicies {
		target := clusterset.PolicyTarget(&s.TrafficPolicies[i])
		trafficPolicies[target] = append(trafficPolicies[target], &s.TrafficPolicies[i])
	}
	for i := range s.Imports {
		si := &s.Imports[i]
		key := types.NamespacedName{Namespace: si.Namespace, Name: si.Name}
		service := all.of(si.Namespace, si.Name)
		service.Imports = append(service.Imports, importOf(cluster, si, trafficPolicies[key], s.endpoints[key]))
	}
}

func exportOf(cluster v1alpha1.ClusterID, e *mcsv1beta1.ServiceExport, policies []*v1alpha1.ExportPolicy) Export {
	export := Export{Cluster: cluster,
		Ready:    meta.IsStatusConditionTrue(e.Status.Conditions, string(mcsv1beta1.ServiceExportConditionReady)),
		Conflict: meta.IsStatusConditionTrue(e.Status.Conditions, string(mcsv1beta1.ServiceExportConditionConflict)),
	}
	if p := clusterset.ExportPolicyFor(types.NamespacedName{Namespace: e.Namespace, Name: e.Name}, policies); p != nil {
		export.For = []v1alpha1.ClusterID{}
		for _, c := range p.Status.Clusters {
			export.For = append(export.For, v1alpha1.ClusterID(c))
		}
	}
	return export
}

func importOf(cluster v1alpha1.ClusterID, si *mcsv1beta1.ServiceImport, policies []*v1alpha1.TrafficPolicy, endpoints map[v1alpha1.ClusterID]Exporter) Import {
	i := Import{Cluster: cluster, Type: string(si.Spec.Type), IPs: slices.Clone(si.Spec.IPs)}
	for _, p := range si.Spec.Ports {
		port := fmt.Sprintf("%d/%s", p.Port, cmp.Or(p.Protocol, "TCP"))
		if p.Name != "" {
			port += " (" + p.Name + ")"
		}
		i.Ports = append(i.Ports, port)
	}
	if p := clusterset.PolicyFor(si, policies); p != nil {
		i.Policy = p.Name
	}
	from := maps.Clone(endpoints)
	if from == nil {
		from = map[v1alpha1.ClusterID]Exporter{}
	}
	for _, id := range clusterset.Exporters(si) {
		id := v1alpha1.ClusterID(id)
		if _, ok := from[id]; !ok {
			from[id] = Exporter{Cluster: id}
		}
	}
	i.From = slices.SortedFunc(maps.Values(from), func(a, b Exporter) int { return cmp.Compare(a.Cluster, b.Cluster) })
	return i
}

// endpointsOf counts the endpoints of each import by the cluster that they come from. An endpoint with
// addresses of both families is one.
func endpointsOf(imported []discoveryv1.EndpointSlice) map[types.NamespacedName]map[v1alpha1.ClusterID]Exporter {
	type source struct {
		service types.NamespacedName
		cluster v1alpha1.ClusterID
		family  discoveryv1.AddressType
	}
	counts := map[source]Exporter{}
	for i := range imported {
		slice := &imported[i]
		key := source{service: types.NamespacedName{Namespace: slice.Namespace, Name: slice.Labels[v1alpha1.LabelServiceName]},
			cluster: clusterset.SourceCluster(slice.Labels), family: slice.AddressType}
		e := counts[key]
		e.Endpoints += len(slice.Endpoints)
		for j := range slice.Endpoints {
			if ready := slice.Endpoints[j].Conditions.Ready; ready == nil || *ready {
				e.Ready++
			}
		}
		counts[key] = e
	}
	all := map[types.NamespacedName]map[v1alpha1.ClusterID]Exporter{}
	for key, e := range counts {
		if all[key.service] == nil {
			all[key.service] = map[v1alpha1.ClusterID]Exporter{}
		}
		other := all[key.service][key.cluster]
		all[key.service][key.cluster] = Exporter{Cluster: key.cluster, Endpoints: max(e.Endpoints, other.Endpoints), Ready: max(e.Ready, other.Ready)}
	}
	return all
}
