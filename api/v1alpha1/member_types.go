package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// MemberSpec is what the clusterset's admin approves for one cluster.
//
// +kubebuilder:validation:XValidation:rule="self.index == oldSelf.index",message="index is immutable: tunnel addresses derive from it; delete the Member and create another to change it",optionalOldSelf=false
type MemberSpec struct {
	// index is a small integer, unique in the clusterset and immutable. The member's tunnel
	// addresses lie in block number index of the transit CIDR.
	//
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=4095
	Index int32 `json:"index"`

	// cidrs are the only addresses that the cluster may publish and send from: its pods', and those of
	// whatever else it may export, such as nodes (for endpoints with hostNetwork) and virtual machines.
	//
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +listType=atomic
	CIDRs []CIDR `json:"cidrs"`

	// namespaces from which the cluster may export: names, and beginnings of names with a * at their
	// end. If empty, it may export from all but system namespaces (default, kube-* and tombolo's own);
	// those must be listed. Hub and importers refuse exports from other namespaces.
	//
	// +kubebuilder:validation:MaxItems=128
	// +listType=set
	// +optional
	Namespaces []NamespacePattern `json:"namespaces,omitempty"`

	// endpointCIDRs are where the cluster's gateways may be: others send handshakes to no address
	// outside them. If empty, gateways may be anywhere but at addresses that the importing cluster
	// itself uses.
	//
	// +kubebuilder:validation:MaxItems=64
	// +listType=atomic
	// +optional
	EndpointCIDRs []CIDR `json:"endpointCIDRs,omitempty"`

	// limits are how much of what the cluster publishes other clusters import.
	//
	// +optional
	Limits MemberLimits `json:"limits,omitzero"`

	// globalCIDRs are reserved for a version that translates addresses where clusters' pod CIDRs overlap.
	// This version does not, and refuses a Member that has them.
	//
	// +kubebuilder:validation:MaxItems=64
	// +listType=atomic
	// +optional
	GlobalCIDRs []CIDR `json:"globalCIDRs,omitempty"`

	// region of the cluster, as in the node label topology.kubernetes.io/region.
	//
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Region string `json:"region,omitempty"`

	// zoneDomain says who named the cluster's zones. Zones of two clusters are the same only if
	// zone domain, region and zone are all equal. If empty, the cluster shares no zone with others.
	//
	// +kubebuilder:validation:MaxLength=63
	// +optional
	ZoneDomain string `json:"zoneDomain,omitempty"`

	// removed takes the cluster out of the clusterset: every member deletes what it imported from
	// it. Deleting the Member alone removes nothing.
	//
	// +optional
	Removed bool `json:"removed,omitempty"`
}

// MemberLimits are how much of what a cluster publishes other clusters import. They protect the
// others from a cluster that publishes without end. A limit that is missing or 0 is the default.
type MemberLimits struct {
	// exports is how many Services others import from the cluster. Default: 5000.
	//
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100000
	// +optional
	Exports int32 `json:"exports,omitempty"`

	// slices is how many EndpointSlices others import from the cluster, for all of its Services
	// together. Default: 20000.
	//
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=400000
	// +optional
	Slices int32 `json:"slices,omitempty"`

	// endpoints is how many endpoints others import from the cluster, for all of its Services and
	// both IP families together. Default: 200000.
	//
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=4000000
	// +optional
	Endpoints int32 `json:"endpoints,omitempty"`

	// endpointsPerService is how many endpoints of one IP family of one Service others import from
	// the cluster. A Service with more than ten ports has room for fewer: ten times this number is
	// the limit for pairs of an endpoint and a port. Default: 5000.
	//
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=50000
	// +optional
	EndpointsPerService int32 `json:"endpointsPerService,omitempty"`
}

// MemberStatus is empty: members may not write Members.
type MemberStatus struct {
	// conditions are reserved for the clusterset's admin tooling.
	//
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// Member is one cluster of the clusterset, approved by the clusterset's admin. It lives in the
// hub's namespace and is named after the cluster's ID.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=mbr
// +kubebuilder:printcolumn:name="Index",type=integer,JSONPath=`.spec.index`
// +kubebuilder:printcolumn:name="CIDRs",type=string,JSONPath=`.spec.cidrs`
// +kubebuilder:printcolumn:name="Region",type=string,JSONPath=`.spec.region`
// +kubebuilder:printcolumn:name="Removed",type=boolean,JSONPath=`.spec.removed`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$') && size(self.metadata.name) <= 63",message="a Member is named after its cluster ID: one RFC 1123 label, 63 characters at most"
type Member struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec   MemberSpec   `json:"spec"`
	Status MemberStatus `json:"status,omitzero"`
}

// MemberList is a list of Members.
//
// +kubebuilder:object:root=true
type MemberList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Member `json:"items"`
}
