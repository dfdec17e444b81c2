package topology

import (
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// Snapshot is what one member's API server shows.
type Snapshot struct {
	// Context is how the user calls the cluster, such as a context of a kubeconfig.
	Context string
	// Unreadable says why the cluster's objects could not be read; empty: they could. Then the lists
	// below are empty.
	Unreadable string
	// Behind says why the objects may be old: the API server could be read once, and now cannot be;
	// empty: they are not.
	Behind string

	// ClusterSet is nil if the cluster has none.
	ClusterSet       *v1alpha1.ClusterSet
	RemoteClusters   []v1alpha1.RemoteCluster
	GatewayNodes     []v1alpha1.GatewayNode
	Nodes            []corev1.Node
	Exports          []mcsv1beta1.ServiceExport
	Imports          []mcsv1beta1.ServiceImport
	TrafficPolicies  []v1alpha1.TrafficPolicy
	ExportPolicies   []v1alpha1.ExportPolicy
	ImportedSlices   []discoveryv1.EndpointSlice // the operator's own
	OperatorReplicas Replicas
	// Hubs are the namespaces of the cluster that are hubs, as far as the user may read them.
	Hubs []HubSnapshot
}

// counted is a Snapshot whose imported endpoints are counted.
type counted struct {
	*Snapshot
	endpoints map[types.NamespacedName]map[v1alpha1.ClusterID]Exporter
}

// Replicas are how many pods of a Deployment are wanted, and how many are ready.
type Replicas struct{ Wanted, Ready int32 }
