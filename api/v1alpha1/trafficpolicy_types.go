package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Scheduler is how the flows to a clusterset IP are shared among the endpoints that may get them.
//
// +kubebuilder:validation:Enum=RoundRobin;LeastConnection;ConsistentHash;Random
type Scheduler string

// All schedulers follow the weights. A backend replaces a scheduler that it lacks
// (internal/clusterset, SchedulerOn).
const (
	// SchedulerRoundRobin gives each endpoint its share in turn.
	SchedulerRoundRobin Scheduler = "RoundRobin"
	// SchedulerLeastConnection prefers the endpoint with the fewest connections from this node,
	// relative to its weight.
	SchedulerLeastConnection Scheduler = "LeastConnection"
	// SchedulerConsistentHash sends a client's address to the same endpoint for as long as that
	// exists. When endpoints come or go, few clients move.
	SchedulerConsistentHash Scheduler = "ConsistentHash"
	// SchedulerRandom chooses an endpoint at random for each flow.
	SchedulerRandom Scheduler = "Random"
)

// TrafficPolicyTarget names the ServiceImport that a TrafficPolicy is for, in the policy's own
// namespace (GEP-713 LocalPolicyTargetReference).
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

// FailoverStep is a set of clusters that are used together: those listed, and those of the regions
// listed.
//
// +kubebuilder:validation:XValidation:rule="has(self.clusters) || has(self.regions)",message="a step names clusters, regions or both: as it is, nothing is in it"
type FailoverStep struct {
	// clusters of this step, by their IDs.
	//
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +listType=set
	// +optional
	Clusters []ClusterID `json:"clusters,omitempty"`
	// regions of which all clusters belong to this step (Member.spec.region).
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
	// cluster is the cluster's ID.
	Cluster ClusterID `json:"cluster"`
	// weight of the whole cluster, 0 to 1000, however many endpoints it has: 95 and 5 are 95 % and
	// 5 %. With weight zero its endpoints get no new flows.
	//
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	Weight int32 `json:"weight"`
}

// Spillover moves a part of the flows to the next step before a step has lost all of its ready
// endpoints.
type Spillover struct {
	// overprovisioningPercent says how much a step can bear, 100 to 1000. With 140 it keeps all
	// flows while 1/1.4 = 72 % of its endpoints are ready. Below that it keeps the ready percentage
	// times 1.4 (Envoy's rule).
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

	// failover is the order in which clusters are used: the first step that has a ready endpoint
	// gets the flows. Clusters in no step come last. It replaces the Service's trafficDistribution
	// and the ClusterSet's locality, which decide if it is absent.
	//
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=16
	// +listType=atomic
	// +optional
	Failover []FailoverStep `json:"failover,omitempty"`

	// weights share the flows among clusters, within each step if there is failover. Without
	// failover the listed clusters are used together, wherever they are. A cluster that is not
	// listed gets flows when no listed cluster has a ready endpoint. A cluster with weight 0 never
	// gets any. If weights are absent, each endpoint gets an equal share.
	//
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +listType=map
	// +listMapKey=cluster
	// +optional
	Weights []ClusterWeight `json:"weights,omitempty"`

	// spillover moves flows to the next step as a step loses ready endpoints. If absent, flows move
	// only when the step has lost all of them.
	//
	// +optional
	Spillover *Spillover `json:"spillover,omitempty"`

	// scheduler is how flows are shared among the endpoints that may get them. A backend replaces
	// what it lacks: IPVS has no Random and uses RoundRobin, nftables has no LeastConnection and
	// uses Random.
	//
	// +kubebuilder:default=RoundRobin
	// +optional
	Scheduler Scheduler `json:"scheduler,omitempty"`
}

// TrafficPolicyStatus is what the operator says about the policy.
type TrafficPolicyStatus struct {
	// observedGeneration is the generation of the object that the conditions speak of. It is -1 until
	// the operator has seen the object.
	//
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions: Accepted, and Ready, which says the same. Stalled is True if the policy is refused.
	//
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// TrafficPolicy says where this cluster's flows to one imported Service go: a direct policy
// attachment (GEP-713). If two are for one ServiceImport, the older one is in effect, then the one
// whose name sorts first. A policy that would leave no cluster to answer is not in effect. It does
// not direct the flows of other clusters.
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

	Spec TrafficPolicySpec `json:"spec"`
	// +kubebuilder:default={"observedGeneration":-1}
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
