package gather

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
	"sigs.k8s.io/yaml"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/cli/snapshot"
)

// maxServices is of how many exported Services the bundle has Service and endpoints.
const maxServices = 200

// kind is what is listed, and where.
type kind struct {
	group, version, kind string
	file                 string
	options              []client.ListOption
}

// kinds are what the bundle has of a cluster whose tombolo runs in that namespace.
func kinds(namespace string, hubs []string) []kind {
	own := v1alpha1.GroupVersion
	in := client.InNamespace(namespace)
	all := []kind{
		{own.Group, own.Version, "ClusterSet", "clustersets", nil},
		{own.Group, own.Version, "RemoteCluster", "remoteclusters", nil},
		{own.Group, own.Version, "GatewayNode", "gatewaynodes", nil},
		{own.Group, own.Version, "TrafficPolicy", "trafficpolicies", nil},
		{own.Group, own.Version, "ExportPolicy", "exportpolicies", nil},
		{own.Group, own.Version, "Member", "members", nil},
		{own.Group, own.Version, "ExportedService", "exportedservices", nil},
		{mcsv1beta1.GroupVersion.Group, mcsv1beta1.GroupVersion.Version, "ServiceExport", "serviceexports", nil},
		{mcsv1beta1.GroupVersion.Group, mcsv1beta1.GroupVersion.Version, "ServiceImport", "serviceimports", nil},
		{"discovery.k8s.io", "v1", "EndpointSlice", "endpointslices-of-tombolo", []client.ListOption{snapshot.ImportedSlices}},
		{"", "v1", "Node", "nodes", nil},
		{"", "v1", "Pod", "pods", []client.ListOption{in}},
		{"apps", "v1", "Deployment", "deployments", []client.ListOption{in}},
		{"apps", "v1", "DaemonSet", "daemonsets", []client.ListOption{in}},
		{"coordination.k8s.io", "v1", "Lease", "leases", []client.ListOption{in}},
		{"networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", nil},
		{"", "v1", "ConfigMap", "coredns-configmap", []client.ListOption{client.InNamespace("kube-system"), client.MatchingFields{"metadata.name": "coredns"}}},
		{"apps", "v1", "Deployment", "coredns-deployment", []client.ListOption{client.InNamespace("kube-system"), client.MatchingFields{"metadata.name": "coredns"}}},
		{"", "v1", "ConfigMap", "kube-proxy-configmap", []client.ListOption{client.InNamespace("kube-system"), client.MatchingFields{"metadata.name": "kube-proxy"}}},
	}
	for _, hub := range hubs {
		all = append(all, kind{"coordination.k8s.io", "v1", "Lease", "leases-of-hub-" + hub, []client.ListOption{client.InNamespace(hub)}})
	}
	return all
}

// objects puts the objects of the cluster into the bundle.
func (g *gathering) objects(ctx context.Context, say func(string)) error {
	for _, k := range kinds(g.facts.Namespace, g.facts.Hubs) {
		say(k.file)
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(schema.GroupVersionKind{Group: k.group, Version: k.version, Kind: k.kind + "List"})
		err := g.List(ctx, list, k.options...)
		if meta.IsNoMatchError(err) {
			continue // the cluster does not have the kind: the hub has no ServiceExports, a member no Members
		}
		if err != nil {
			g.lack(k.file, err)
			continue
		}
		if err := g.write("objects/"+k.file+".yaml", k.kind+" objects", list.Items); err != nil {
			return err
		}
	}
	if err := g.metadata(ctx, "namespaces", "Namespace", "v1", func(string) bool { return true }); err != nil {
		return err
	}
	ours := func(name string) bool {
		return strings.HasSuffix(name, "."+v1alpha1.GroupVersion.Group) || strings.HasSuffix(name, "."+mcsv1beta1.GroupName)
	}
	if err := g.metadata(ctx, "crds", "CustomResourceDefinition", "apiextensions.k8s.io/v1", ours); err != nil {
		return err
	}
	return g.exported(ctx)
}

// metadata puts the metadata of objects into the bundle: of these kinds the rest is long, or nobody
// asks for it.
func (g *gathering) metadata(ctx context.Context, name, kind, version string, take func(name string) bool) error {
	list := &metav1.PartialObjectMetadataList{TypeMeta: metav1.TypeMeta{APIVersion: version, Kind: kind + "List"}}
	if err := g.List(ctx, list); err != nil {
		g.lack(name, err)
		return nil
	}
	var items []unstructured.Unstructured
	for _, o := range list.Items {
		if !take(o.Name) {
			continue
		}
		item := unstructured.Unstructured{Object: map[string]any{"apiVersion": version, "kind": kind}}
		item.SetName(o.Name)
		item.SetLabels(o.Labels)
		item.SetAnnotations(o.Annotations)
		item.SetCreationTimestamp(o.CreationTimestamp)
		items = append(items, item)
	}
	return g.write("objects/"+name+".yaml", "metadata of "+kind+" objects", items)
}

// exported puts the Services that are exported into the bundle, with their own endpoints.
func (g *gathering) exported(ctx context.Context) error {
	var items []unstructured.Unstructured
	for i, e := range g.snapshot.Exports {
		if i == maxServices {
			g.lack("Services of exports", fmt.Errorf("there are %d exports: the bundle has the Services of the first %d", len(g.snapshot.Exports), maxServices))
			break
		}
		service := &unstructured.Unstructured{}
		service.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Service"))
		if err := g.Get(ctx, client.ObjectKeyFromObject(&e), service); err != nil {
			g.lack("Service "+e.Namespace+"/"+e.Name, err)
			continue
		}
		slices := &unstructured.UnstructuredList{}
		slices.SetGroupVersionKind(discoveryv1.SchemeGroupVersion.WithKind("EndpointSliceList"))
		if err := g.List(ctx, slices, client.InNamespace(e.Namespace), client.MatchingLabels{discoveryv1.LabelServiceName: e.Name}); err != nil {
			g.lack("endpoints of Service "+e.Namespace+"/"+e.Name, err)
		}
		items = append(append(items, *service), slices.Items...)
	}
	return g.write("objects/exported-services.yaml", "the Services that are exported, and their own EndpointSlices", items)
}

// write puts objects into the bundle as a stream of YAML. It leaves out what only the API server
// needs. No objects, no file.
func (g *gathering) write(path, what string, items []unstructured.Unstructured) error {
	if len(items) == 0 {
		return nil
	}
	var text bytes.Buffer
	for i := range items {
		item := items[i].DeepCopy()
		item.SetManagedFields(nil)
		annotations := item.GetAnnotations()
		delete(annotations, corev1.LastAppliedConfigAnnotation) // it repeats the object
		item.SetAnnotations(annotations)
		one, err := yaml.Marshal(item.Object)
		if err != nil {
			return fmt.Errorf("writing %s %s as YAML: %w", item.GetKind(), item.GetName(), err)
		}
		text.WriteString("---\n")
		text.Write(one)
	}
	return g.bundle.add(g.facts.Folder+"/"+path, fmt.Sprintf("%s: %d", what, len(items)), text.Bytes())
}
