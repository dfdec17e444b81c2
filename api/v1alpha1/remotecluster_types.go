package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// RemoteClusterSpec is what this cluster accepts about another member: what the admin's Member
// says, and the gateways that the member published.
type RemoteClusterSpec struct {
	// index is the Member's (Member.spec.index).
	//
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=4095
	Index int32 `json:"index"`

	// cidrs are the Member's (Member.spec.cidrs): the addresses that the other cluster may publish and send
	// from. If this cluster refuses what the Member says now, those stay that it used before.
	//
	// +kubebuilder:validation:MaxItems=64
	// +listType=atomic
	// +optional
	CIDRs []CIDR `json:"cidrs,omitempty"`

	// region is the Member's (Member.spec.region).
	//
	// +optional
	Region string `json:"region,omitempty"`
	// zoneDomain is the Member's (Member.spec.zoneDomain).
	//
	// +optional
	ZoneDomain string `json:"zoneDomain,omitempty"`

	// gateways of the cluster that have a lane, sorted by lane.
	//
	// +kubebuilder:validation:MaxItems=64
	// +listType=map
	// +listMapKey=name
	// +optional
	Gateways []RemoteGateway `json:"gateways,omitempty"`
}

// RemoteGateway is one gateway of a remote cluster.
type RemoteGateway struct {
	// name of the GatewayNode in its own cluster.
	Name string `json:"name"`
	// lane of the gateway.
	Lane Lane `json:"lane"`
	// publicKey is its WireGuard public key, in base64.
	PublicKey string `json:"publicKey"`
	// endpoints are the addresses that the gateway published and that this cluster accepts, best first.
	//
	// +kubebuilder:validation:MaxItems=8
	// +listType=atomic
	Endpoints []Endpoint `json:"endpoints"`
	// tunnelAddresses that the gateway published, inside the block that the Member's index gives.
	//
	// +kubebuilder:validation:MaxItems=2
	// +listType=atomic
	// +optional
	TunnelAddresses []IPAddress `json:"tunnelAddresses,omitempty"`
}

// LinkState tells whether a link carries traffic.
//
// +kubebuilder:validation:Enum=Up;Down;Connecting
type LinkState string

const (
	// LinkUp means that probes are answered.
	LinkUp LinkState = "Up"
	// LinkDown means that probes are not answered any more.
	LinkDown LinkState = "Down"
	// LinkConnecting means that no probe has been answered since the link was made.
	LinkConnecting LinkState = "Connecting"
)

// GatewayLinks are the links of one local gateway to the remote cluster; the gateway owns its
// entry.
type GatewayLinks struct {
	// gateway is the local GatewayNode's name.
	Gateway string `json:"gateway"`
	// links to the remote cluster's gateways, by their name.
	//
	// +listType=map
	// +listMapKey=remoteGateway
	// +optional
	Links []Link `json:"links,omitempty"`
}

// Link is one local gateway's tunnel to one remote gateway.
type Link struct {
	// remoteGateway is the remote GatewayNode's name.
	RemoteGateway string `json:"remoteGateway"`
	// state of the link, as probes through the tunnel show it.
	State LinkState `json:"state"`
	// rttMilliseconds is the probes' round trip in ms, rounded so that an unchanged link causes no
	// write. Zero: not measured.
	//
	// +optional
	RTTMilliseconds int32 `json:"rttMilliseconds,omitempty"`
	// lossPercent is the share of probes that were lost in the last minutes, 0 to 100, rounded so
	// that an unchanged link causes no write.
	//
	// +optional
	LossPercent int32 `json:"lossPercent,omitempty"`
	// since is when the link entered this state.
	//
	// +optional
	Since metav1.Time `json:"since,omitzero"`
	// flapping is true if the link has gone down three times or more in the last ten minutes.
	//
	// +optional
	Flapping bool `json:"flapping,omitempty"`
	// message says why a link is not up, that the remote gateway drains, or what to look at if the link
	// does not stay up; otherwise it is empty.
	//
	// +optional
	Message string `json:"message,omitempty"`
}

// RemoteClusterStatus is how this cluster sees the other one.
type RemoteClusterStatus struct {
	// links has one entry for each local gateway, which that gateway writes with server-side apply.
	//
	// +listType=map
	// +listMapKey=gateway
	// +optional
	Links []GatewayLinks `json:"links,omitempty"`

	// linksUp is how many of the links of this cluster's live gateways are up, and how many there
	// are, such as 3/4.
	//
	// +optional
	LinksUp string `json:"linksUp,omitempty"`

	// rttMilliseconds is the shortest round trip among the links that are up. Zero: not measured.
	//
	// +optional
	RTTMilliseconds int32 `json:"rttMilliseconds,omitempty"`

	// lossPercent is the greatest loss among the links that are up. It is absent if none is up.
	//
	// +optional
	LossPercent *int32 `json:"lossPercent,omitempty"`

	// conditions: Accepted, Reachable, ContentAccepted, and Ready, which sums up the first two. Stalled is
	// True if the cluster is refused.
	//
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// RemoteCluster is another member, as this cluster sees it, named after its cluster ID. The
// operator writes the spec, the gateways their links.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=rcl
// +kubebuilder:printcolumn:name="Member",type=string,JSONPath=`.status.conditions[?(@.type=="Accepted")].reason`
// +kubebuilder:printcolumn:name="Reachable",type=string,JSONPath=`.status.conditions[?(@.type=="Reachable")].status`
// +kubebuilder:printcolumn:name="Links",type=string,JSONPath=`.status.linksUp`
// +kubebuilder:printcolumn:name="RTT-ms",type=integer,JSONPath=`.status.rttMilliseconds`
// +kubebuilder:printcolumn:name="Loss-%",type=integer,JSONPath=`.status.lossPercent`
// +kubebuilder:printcolumn:name="CIDRs",type=string,JSONPath=`.spec.cidrs`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type RemoteCluster struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   RemoteClusterSpec   `json:"spec"`
	Status RemoteClusterStatus `json:"status,omitzero"`
}

// RemoteClusterList is a list of RemoteClusters.
//
// +kubebuilder:object:root=true
type RemoteClusterList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []RemoteCluster `json:"items"`
}
