package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Scheduler is how the flows to a clusterset IP are shared among the endpoints that may get them.
//
// +kubebuilder:validation:Enum=RoundRobin;LeastConnection;ConsistentHash;Random
type Scheduler string

// The schedulers. All of them follow the weights. A backend replaces a scheduler that it lacks
// (internal/clusterset, SchedulerOn).
const (
	// SchedulerRoundRobin gives each endpoint its share in turn.
	SchedulerRoundRobin Scheduler = "RoundRobin"
	// SchedulerLeastConnection prefers the endpoint with the fewest connections from this node for its weight.
	SchedulerLeastConnection Scheduler = "LeastConnection"
	// SchedulerConsistentHash sends a client's address to the same endpoint for as long as that is there; when endpoints
	// come or go, few clients move.
	SchedulerConsistentHash Scheduler = "ConsistentHash"
	// SchedulerRandom draws lots for each flow.
	SchedulerRandom Scheduler = "Random"
)

// TrafficPolicyTarget names the ServiceImport that a TrafficPolicy is for, in the policy's own namespace (GEP-713
// LocalPolicyTargetReference).
//
// +kubebuilder:validation:XValidation:rule="self.group == 'multicluster.x-k8s.io' && self.kind == 'ServiceImport'",message="a TrafficPolicy is for a ServiceImport: set group to multicluster.x-k8s.io and kind to ServiceImport",messageExpression="'a TrafficPolicy is for a ServiceImport, not for kind ' + self.kind + ' of group ' + self.group + ': set group to multicluster.x-k8s.io and kind to ServiceImport'"
type TrafficPolicyTarget struct {
	// group of the target.
	//
	// +kubebuilder:default="multicluster.x-k8s.io"
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Group string `json:"group,omitempty"`
	// kind of the target.
	//
	// +kubebuilder:default="ServiceImport"
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Kind string `json:"kind,omitempty"`
	// name of the ServiceImport. It need not exist yet.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// FailoverStep is a set of clusters that are used together: those listed, and those of the regions listed.
//
// +kubebuilder:validation:XValidation:rule="has(self.clusters) || has(self.regions)",message="a step names clusters, regions or both: as it is, nothing is in it"
type FailoverStep struct {
	// clusters by their cluster IDs.
	//
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +listType=set
	// +optional
	Clusters []ClusterID `json:"clusters,omitempty"`
	// regions by the name in the clusters' Member.spec.region.
	//
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	// +listType=set
	// +optional
	Regions []string `json:"regions,omitempty"`
}

// ClusterWeight is one cluster's share of the flows.
type ClusterWeight struct {
	// cluster by its cluster ID.
	Cluster ClusterID `json:"cluster"`
	// weight of the whole cluster, 0 to 1000, however many endpoints it has: 95 and 5 are 95 % and 5 %. Zero: its endpoints get no
	// new flows.
	//
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	Weight int32 `json:"weight"`
}

// Spillover moves a part of the flows on to the next step before a step has lost all of its ready endpoints.
type Spillover struct {
	// overprovisioningPercent says how much a step can bear, 100 to 1000: with 140 it keeps all flows while 1/1.4 = 72 % of its
	// endpoints are ready, and below that the ready percentage times 1.4 (Envoy's rule).
	//
	// +kubebuilder:default=140
	// +kubebuilder:validation:Minimum=100
	// +kubebuilder:validation:Maximum=1000
	// +optional
	OverprovisioningPercent int32 `json:"overprovisioningPercent,omitempty"`
}

// TrafficPolicySpec says where this cluster's flows to an imported Service go.
type TrafficPolicySpec struct {
	// targetRef names the ServiceImport.
	TargetRef TrafficPolicyTarget `json:"targetRef"`

	// failover is the order in which clusters are used: the first step that has a ready endpoint gets the flows.
	// Clusters in no step come last. It takes the place of the Service's trafficDistribution and of the ClusterSet's
	// locality. Absent: those decide.
	//
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +listType=atomic
	// +optional
	Failover []FailoverStep `json:"failover,omitempty"`

	// weights share the flows among clusters, within each step where there is failover. Without failover the clusters
	// that are listed are used together, wherever they are. A cluster that is not listed takes over when none of those
	// listed has a ready endpoint; one of weight 0 never does. Absent: each endpoint gets an equal share.
	//
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +listType=map
	// +listMapKey=cluster
	// +optional
	Weights []ClusterWeight `json:"weights,omitempty"`

	// spillover moves flows on to the next step as a step loses readiness. Absent: only when it has lost all.
	//
	// +optional
	Spillover *Spillover `json:"spillover,omitempty"`

	// scheduler is how flows are shared among the endpoints that may get them. What a node's backend lacks it replaces:
	// IPVS has no Random and takes RoundRobin, nftables has no LeastConnection and takes Random.
	//
	// +kubebuilder:default=RoundRobin
	// +optional
	Scheduler Scheduler `json:"scheduler,omitempty"`
}

// TrafficPolicyStatus is what the operator says of the policy.
type TrafficPolicyStatus struct {
	// conditions: Accepted.
	//
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// TrafficPolicy says where this cluster's flows to one imported Service go: a direct policy attachment (GEP-713). Of two
// for one ServiceImport the older one is in effect, then the one whose name comes first; one that would leave nobody to
// answer is not. It says nothing of the flows of other clusters.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=tpol,categories=gateway-api
// +kubebuilder:metadata:labels="gateway.networking.k8s.io/policy=Direct"
// +kubebuilder:printcolumn:name="Import",type=string,JSONPath=`.spec.targetRef.name`
// +kubebuilder:printcolumn:name="Scheduler",type=string,JSONPath=`.spec.scheduler`
// +kubebuilder:printcolumn:name="Accepted",type=string,JSONPath=`.status.conditions[?(@.type=="Accepted")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Accepted")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Accepted")].message`
type TrafficPolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   TrafficPolicySpec   `json:"spec"`
	Status TrafficPolicyStatus `json:"status,omitzero"`
}

// TrafficPolicyList is a list of TrafficPolicies.
//
// +kubebuilder:object:root=true
type TrafficPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []TrafficPolicy `json:"items"`
}
