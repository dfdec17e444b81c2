package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// GatewayNodeSpec is what a gateway says of itself.
type GatewayNodeSpec struct {
	// nodeName of the node that the gateway runs on.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	NodeName string `json:"nodeName"`

	// publicKey is the gateway's WireGuard public key: 32 bytes, in base64.
	//
	// +kubebuilder:validation:MaxLength=44
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9+/]{43}=$')",message="must be a WireGuard public key: 32 bytes in base64, 44 characters, as `wg pubkey` prints it"
	PublicKey string `json:"publicKey"`

	// endpoints are the addresses at which the gateway can be reached, best first. The port is the
	// base port.
	//
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	// +listType=atomic
	Endpoints []Endpoint `json:"endpoints"`

	// tunnelAddresses are the gateway's own addresses inside the tunnels, at most one per family.
	// It is empty until the gateway has a lane and its cluster an index.
	//
	// +kubebuilder:validation:MaxItems=2
	// +listType=atomic
	// +optional
	TunnelAddresses []IPAddress `json:"tunnelAddresses,omitempty"`

	// underlayAddresses are the node's InternalIPs, at most one per family.
	//
	// +kubebuilder:validation:MaxItems=2
	// +listType=atomic
	// +optional
	UnderlayAddresses []IPAddress `json:"underlayAddresses,omitempty"`
}

// GatewayNodeStatus is the lane that the operator assigned to the gateway, and the gateway's state.
type GatewayNodeStatus struct {
	// lane of the gateway. The operator assigns the smallest free one, once. It is absent until
	// then.
	//
	// +optional
	Lane *Lane `json:"lane,omitempty"`

	// lastHeartbeatTime is when the operator last saw the gateway renew its Lease. While the
	// gateway renews it, the time may be a minute old.
	//
	// +optional
	LastHeartbeatTime *metav1.Time `json:"lastHeartbeatTime,omitempty"`

	// conditions: Ready and Draining, written by the gateway; Alive, and Stalled if that is False,
	// written by the operator.
	//
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// GatewayNode is one gateway. The gateway writes it in its own cluster, in the operator's
// namespace, under its node's name; the operator copies it to the hub.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=gwn
// +kubebuilder:printcolumn:name="Node",type=string,JSONPath=`.spec.nodeName`
// +kubebuilder:printcolumn:name="Lane",type=integer,JSONPath=`.status.lane`
// +kubebuilder:printcolumn:name="Endpoint",type=string,JSONPath=`.spec.endpoints[0].address`
// +kubebuilder:printcolumn:name="Tunnel",type=string,JSONPath=`.spec.tunnelAddresses[0]`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Draining",type=string,JSONPath=`.status.conditions[?(@.type=="Draining")].status`
// +kubebuilder:printcolumn:name="Alive",type=string,JSONPath=`.status.conditions[?(@.type=="Alive")].status`
// +kubebuilder:printcolumn:name="Heartbeat",type=date,JSONPath=`.status.lastHeartbeatTime`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type GatewayNode struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec GatewayNodeSpec `json:"spec"`
	// +kubebuilder:default={"conditions":{{"type":"Ready","status":"Unknown","reason":"Pending","message":"the gateway has not said anything yet","lastTransitionTime":"1970-01-01T00:00:00Z"}}}
	Status GatewayNodeStatus `json:"status,omitzero"`
}

// GatewayNodeList is a list of GatewayNodes.
//
// +kubebuilder:object:root=true
type GatewayNodeList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []GatewayNode `json:"items"`
}
