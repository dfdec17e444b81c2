// Package snapshot reads from one cluster what internal/topology makes its picture of.
package snapshot

import (
	"context"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/topology"
)

// OperatorName is the label and the name of the operator's Deployment.
const OperatorName = "tombolo-operator"

// ImportedSlices select the EndpointSlices that the operator writes.
var ImportedSlices = client.MatchingLabels{discoveryv1.LabelManagedBy: v1alpha1.ManagedBy}

// Read reads the cluster that the user calls by that name. What cannot be read is told in the
// snapshot: other clusters may still be shown.
func Read(ctx context.Context, cluster client.Reader, name string) topology.Snapshot {
	s := topology.Snapshot{Context: name}
	if err := read(ctx, cluster, &s); err != nil {
		return topology.Snapshot{Context: name, Unreadable: err.Error()}
	}
	return s
}

// ReadWithHubs reads the hubs that the cluster has, too, as far as the user may read them.
func ReadWithHubs(ctx context.Context, cluster client.Reader, name string) topology.Snapshot {
	s := Read(ctx, cluster, name)
	if s.Unreadable != "" {
		return s
	}
	var namespaces corev1.NamespaceList
	if err := cluster.List(ctx, &namespaces, client.HasLabels{v1alpha1.LabelClusterSet}); err != nil {
		return s // who may not see namespaces is no admin of a hub
	}
	for i := range namespaces.Items {
		n := &namespaces.Items[i]
		hub, err := readHub(ctx, cluster, n.Name)
		switch {
		case err == nil:
			hub.ClusterSet = n.Labels[v1alpha1.LabelClusterSet]
			s.Hubs = append(s.Hubs, hub)
		case s.ClusterSet == nil:
			s.Unreadable = err.Error()
		}
	}
	return s
}

func readHub(ctx context.Context, cluster client.Reader, namespace string) (topology.HubSnapshot, error) {
	var (
		members  v1alpha1.MemberList
		exports  v1alpha1.ExportedServiceList
		gateways v1alpha1.GatewayNodeList
		slices   discoveryv1.EndpointSliceList
		leases   coordinationv1.LeaseList
	)
	for what, list := range map[string]client.ObjectList{"Members": &members, "ExportedServices": &exports, "GatewayNodes": &gateways,
		"EndpointSlices": &slices, "Leases": &leases} {
		if err := cluster.List(ctx, list, client.InNamespace(namespace)); err != nil {
			return topology.HubSnapshot{}, fmt.Errorf("reading %s of the hub in namespace %s: %w", what, namespace, err)
		}
	}
	return topology.HubSnapshot{Namespace: namespace, Members: members.Items, Exports: exports.Items, Slices: slices.Items,
		Gateways: gateways.Items, Leases: leases.Items, Now: time.Now()}, nil
}

func read(ctx context.Context, cluster client.Reader, s *topology.Snapshot) error {
	var sets v1alpha1.ClusterSetList
	err := cluster.List(ctx, &sets)
	switch {
	case meta.IsNoMatchError(err):
		return nil // tombolo is not installed
	case err != nil:
		return fmt.Errorf("reading ClusterSets: %w", err)
	case len(sets.Items) == 0:
		return nil
	}
	s.ClusterSet = &sets.Items[0]
	deployment, err := operator(ctx, cluster)
	if err != nil {
		return err
	}
	namespace := v1alpha1.DefaultNamespace
	if deployment != nil {
		namespace = deployment.Namespace
		s.OperatorReplicas = topology.Replicas{Wanted: ptr.Deref(deployment.Spec.Replicas, 1), Ready: deployment.Status.ReadyReplicas}
	}
	var (
		remotes         v1alpha1.RemoteClusterList
		gateways        v1alpha1.GatewayNodeList
		nodes           corev1.NodeList
		exports         mcsv1beta1.ServiceExportList
		imports         mcsv1beta1.ServiceImportList
		trafficPolicies v1alpha1.TrafficPolicyList
		exportPolicies  v1alpha1.ExportPolicyList
		slices          discoveryv1.EndpointSliceList
	)
	for _, list := range []struct {
		what    string
		objects client.ObjectList
		options []client.ListOption
	}{
		{"RemoteClusters", &remotes, nil},
		{"GatewayNodes", &gateways, []client.ListOption{client.InNamespace(namespace)}},
		{"Nodes", &nodes, nil},
		{"ServiceExports", &exports, nil},
		{"ServiceImports", &imports, nil},
		{"TrafficPolicies", &trafficPolicies, nil},
		{"ExportPolicies", &exportPolicies, nil},
		{"EndpointSlices", &slices, []client.ListOption{ImportedSlices}},
	} {
		if err := cluster.List(ctx, list.objects, list.options...); err != nil {
			return fmt.Errorf("reading %s: %w", list.what, err)
		}
	}
	s.RemoteClusters, s.GatewayNodes, s.Nodes = remotes.Items, gateways.Items, nodes.Items
	s.Exports, s.Imports, s.ImportedSlices = exports.Items, imports.Items, slices.Items
	s.TrafficPolicies, s.ExportPolicies = trafficPolicies.Items, exportPolicies.Items
	return nil
}

// Namespace is where tombolo runs in the cluster: that of the operator's Deployment.
func Namespace(ctx context.Context, cluster client.Reader) (string, error) {
	d, err := operator(ctx, cluster)
	if err != nil || d == nil {
		return v1alpha1.DefaultNamespace, err
	}
	return d.Namespace, nil
}

// Image is tombolo's image in the cluster: that of the operator's Deployment.
func Image(ctx context.Context, cluster client.Reader) (string, error) {
	d, err := operator(ctx, cluster)
	if err != nil {
		return "", err
	}
	if d == nil || len(d.Spec.Template.Spec.Containers) == 0 {
		return "", fmt.Errorf("the cluster has no Deployment with the label app.kubernetes.io/name=%s: is tombolo installed?", OperatorName)
	}
	return d.Spec.Template.Spec.Containers[0].Image, nil
}

// operator returns the operator's Deployment, or nil if the cluster has none.
func operator(ctx context.Context, cluster client.Reader) (*appsv1.Deployment, error) {
	var deployments appsv1.DeploymentList
	if err := cluster.List(ctx, &deployments, client.MatchingLabels{"app.kubernetes.io/name": OperatorName}); err != nil {
		return nil, fmt.Errorf("looking for the operator's Deployment: %w", err)
	}
	if len(deployments.Items) == 0 {
		return nil, nil
	}
	return &deployments.Items[0], nil
}
