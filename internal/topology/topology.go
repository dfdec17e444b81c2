package topology

import (
	"time"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// Topology is a clusterset as the clusters that were asked see it. All lists are sorted, so that the
// same objects give the same bytes.
type Topology struct {
	// ClusterSet is the ID; empty if no cluster that was asked belongs to one.
	ClusterSet string `json:"clusterSet,omitempty"`
	// Clusters that were asked, and those that they know, by ID.
	Clusters []Cluster `json:"clusters"`
	// Hubs of the clusters that were asked, by context and namespace.
	Hubs []Hub `json:"hubs,omitempty"`
	// Services that are exported or imported anywhere, by namespace and name.
	Services []Service `json:"services"`
	// Findings are what is not right, the worst first. None: nothing is wrong.
	Findings []Finding `json:"findings"`
}

// Cluster is one member.
type Cluster struct {
	// ID is the cluster ID. It is the context's name if the cluster has none.
	ID v1alpha1.ClusterID `json:"id"`
	// Context by which it was asked; empty: nobody asked it, and others know it.
	Context string          `json:"context,omitempty"`
	Index   int32           `json:"index,omitempty"`
	Region  string          `json:"region,omitempty"`
	CIDRs   []v1alpha1.CIDR `json:"cidrs,omitempty"`

	// The rest is known of clusters that were asked.

	// Hub is the reason of the ClusterSet's condition HubConnected, such as Connected.
	Hub string `json:"hub,omitempty"`
	// DNS is the reason of its condition DNSReady.
	DNS      string    `json:"dns,omitempty"`
	Gateways []Gateway `json:"gateways,omitempty"`
	// Nodes of the cluster, and how many of them serve clusterset IPs.
	Nodes        int `json:"nodes,omitempty"`
	NodesServing int `json:"nodesServing,omitempty"`
	Exports      int `json:"exports,omitempty"`
	Imports      int `json:"imports,omitempty"`
	// Remotes are the other members as this cluster sees them, by ID.
	Remotes []Remote `json:"remotes,omitempty"`
}

// Gateway is one gateway of a cluster that was asked.
type Gateway struct {
	Name string         `json:"name"`
	Lane *v1alpha1.Lane `json:"lane,omitempty"`
	// State is one word: Ready, Draining, Dead, NotReady or Starting.
	State GatewayState `json:"state"`
	// Endpoint is the first one that other clusters send to.
	Endpoint string `json:"endpoint,omitempty"`
}

// GatewayState sums up the conditions of a GatewayNode.
type GatewayState string

// The states of gateways.
const (
	GatewayReady    GatewayState = "Ready"
	GatewayDraining GatewayState = "Draining"
	GatewayDead     GatewayState = "Dead"
	GatewayNotReady GatewayState = "NotReady"
	GatewayStarting GatewayState = "Starting"
)

// Remote is how one cluster sees another.
type Remote struct {
	ID        v1alpha1.ClusterID `json:"id"`
	Reachable bool               `json:"reachable"`
	// LinksUp of LinksTotal links carry traffic.
	LinksUp    int `json:"linksUp"`
	LinksTotal int `json:"linksTotal"`
	// RTTMilliseconds is the shortest round trip of a link that is up; zero: not measured.
	RTTMilliseconds int32 `json:"rttMilliseconds,omitempty"`
	// LossPercent is the greatest loss of a link that is up; nil: none is up.
	LossPercent *int32 `json:"lossPercent,omitempty"`
	// Links of the live gateways, by gateway and remote gateway.
	Links []Link `json:"links,omitempty"`
}

// Link is one gateway's tunnel to one remote gateway.
type Link struct {
	Gateway       string `json:"gateway"`
	v1alpha1.Link `json:",inline"`
}

// Service is one name of the clusterset.
type Service struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// Exports of the clusters that were asked, by cluster.
	Exports []Export `json:"exports,omitempty"`
	// Imports of the clusters that were asked, by cluster.
	Imports []Import `json:"imports,omitempty"`
}

// Export is a ServiceExport in one cluster.
type Export struct {
	Cluster  v1alpha1.ClusterID `json:"cluster"`
	Ready    bool               `json:"ready"`
	Conflict bool               `json:"conflict,omitempty"`
	// For are the members that it is for, as its ExportPolicy says; empty: all.
	For []v1alpha1.ClusterID `json:"for,omitempty"`
}

// Import is a ServiceImport in one cluster.
type Import struct {
	Cluster v1alpha1.ClusterID `json:"cluster"`
	// Type is ClusterSetIP or Headless.
	Type  string   `json:"type"`
	IPs   []string `json:"ips,omitempty"`
	Ports []string `json:"ports,omitempty"` // such as 80/TCP (http)
	// Policy is the TrafficPolicy in effect; empty: none.
	Policy string `json:"policy,omitempty"`
	// From are the exporters, by cluster, with their endpoints.
	From []Exporter `json:"from,omitempty"`
}

// Exporter is what one cluster contributes to an import.
type Exporter struct {
	Cluster v1alpha1.ClusterID `json:"cluster"`
	// Endpoints that are imported from it, and how many of them are ready.
	Endpoints int `json:"endpoints"`
	Ready     int `json:"ready"`
}

// Severity says how bad a finding is.
type Severity string

// The severities. An Error loses or refuses traffic, or would with the next change. A Warning tells
// of a part that is not used, or of something that waits.
const (
	SeverityError   Severity = "Error"
	SeverityWarning Severity = "Warning"
)

// Finding is one thing that is not right.
type Finding struct {
	Severity Severity `json:"severity"`
	// Cluster that has the object, as in Cluster.ID.
	Cluster   v1alpha1.ClusterID `json:"cluster"`
	Kind      string             `json:"kind"`
	Namespace string             `json:"namespace,omitempty"`
	Name      string             `json:"name"`
	// Condition of the object, and its reason, which docs/troubleshooting.md explains.
	Condition string `json:"condition,omitempty"`
	Reason    string `json:"reason,omitempty"`
	// Message says what is wrong, and what to do.
	Message string `json:"message"`
	// Since is when the condition changed last; zero: unknown.
	Since time.Time `json:"since,omitzero"`
}
