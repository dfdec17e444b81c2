package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ExportPolicyTarget names the ServiceExport that an ExportPolicy is for, in the policy's own
// namespace (GEP-713 LocalPolicyTargetReference).
//
// +kubebuilder:validation:XValidation:rule="self.group == 'multicluster.x-k8s.io' && self.kind == 'ServiceExport'",message="an ExportPolicy is for a ServiceExport: set group to multicluster.x-k8s.io and kind to ServiceExport",messageExpression="'an ExportPolicy is for a ServiceExport, not for kind ' + self.kind + ' of group ' + self.group + ': set group to multicluster.x-k8s.io and kind to ServiceExport'"
type ExportPolicyTarget struct {
	// group of the target.
	//
	// +kubebuilder:default="multicluster.x-k8s.io"
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Group string `json:"group,omitempty"`
	// kind of the target.
	//
	// +kubebuilder:default="ServiceExport"
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Kind string `json:"kind,omitempty"`
	// name of the ServiceExport. It need not exist yet.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// ExportAudience is the set of clusters that an export is for: those listed, and those of the
// regions listed. The exporting cluster always belongs to it.
//
// +kubebuilder:validation:XValidation:rule="has(self.clusters) || has(self.regions)",message="name clusters, regions or both: as it is, the export is for no other cluster; to export to none, delete the ServiceExport"
type ExportAudience struct {
	// clusters that the export is for, by their IDs.
	//
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	// +listType=set
	// +optional
	Clusters []ClusterID `json:"clusters,omitempty"`
	// regions of which the export is for all clusters (Member.spec.region).
	//
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=63
	// +listType=set
	// +optional
	Regions []string `json:"regions,omitempty"`
}

// ExportPolicySpec says which clusters an export is for.
type ExportPolicySpec struct {
	// targetRef names the ServiceExport.
	TargetRef ExportPolicyTarget `json:"targetRef"`

	ExportAudience `json:",inline"`
}

// ExportPolicyStatus is what the operator says about the policy.
type ExportPolicyStatus struct {
	// observedGeneration is the generation of the object that the conditions speak of. It is -1 until
	// the operator has seen the object.
	//
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// clusters are the IDs of the other members that the export is for now, while the policy is in
	// effect.
	//
	// +kubebuilder:validation:MaxItems=4095
	// +listType=atomic
	// +optional
	Clusters []string `json:"clusters,omitempty"`

	// conditions: Accepted, and Ready, which says the same. Stalled is True if the policy is refused.
	//
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// ExportPolicy limits an export to some clusters: a direct policy attachment (GEP-713). The others do
// not import the Service from this cluster, and this cluster's gateways refuse their packets to its
// endpoints. If two are for one ServiceExport, the older one is in effect, then the one whose name
// sorts first. Without a policy an export is for all members.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=epol,categories=gateway-api
// +kubebuilder:metadata:labels="gateway.networking.k8s.io/policy=Direct"
// +kubebuilder:printcolumn:name="Export",type=string,JSONPath=`.spec.targetRef.name`
// +kubebuilder:printcolumn:name="Clusters",type=string,JSONPath=`.status.clusters`
// +kubebuilder:printcolumn:name="Accepted",type=string,JSONPath=`.status.conditions[?(@.type=="Accepted")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Accepted")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Accepted")].message`
type ExportPolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec ExportPolicySpec `json:"spec"`
	// +kubebuilder:default={"observedGeneration":-1}
	Status ExportPolicyStatus `json:"status,omitzero"`
}

// ExportPolicyList is a list of ExportPolicies.
//
// +kubebuilder:object:root=true
type ExportPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ExportPolicy `json:"items"`
}
