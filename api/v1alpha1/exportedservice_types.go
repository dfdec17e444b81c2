package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"
)

// ExportedServiceSpec is one cluster's export of one Service, as far as the merge of KEP-1645 needs
// it. The source cluster is in the label multicluster.kubernetes.io/source-cluster, which the hub's
// admission policy checks.
type ExportedServiceSpec struct {
	// namespace of the Service.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Namespace string `json:"namespace"`
	// name of the Service.
	//
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Name string `json:"name"`

	// exportedAt is the creationTimestamp of the ServiceExport in the exporting cluster. The oldest
	// export decides a conflict. No export counts as older than this object on the hub.
	ExportedAt metav1.Time `json:"exportedAt"`

	// type of the import that this export asks for.
	//
	// +kubebuilder:validation:Enum=ClusterSetIP;Headless
	Type mcsv1beta1.ServiceImportType `json:"type"`

	// ports of the Service; target ports travel in the EndpointSlices.
	//
	// +kubebuilder:validation:MaxItems=256
	// +listType=atomic
	// +optional
	Ports []mcsv1beta1.ServicePort `json:"ports,omitempty"`

	// sliceSet is a digest of the names of the Service's EndpointSlices on the hub, written before
	// the slices are. A slice that is missing has been withdrawn, and was not lost, if the slices
	// on the hub are exactly these.
	//
	// +kubebuilder:validation:MaxLength=32
	// +optional
	SliceSet string `json:"sliceSet,omitempty"`

	// ipFamilies of the Service, in its order. A family of a headless Service is left out if neither
	// its endpoints nor its cluster's approved CIDRs have it.
	//
	// +kubebuilder:validation:MaxItems=2
	// +listType=atomic
	// +optional
	IPFamilies []corev1.IPFamily `json:"ipFamilies,omitempty"`

	// sessionAffinity: None or ClientIP. Empty means None.
	//
	// +optional
	SessionAffinity corev1.ServiceAffinity `json:"sessionAffinity,omitempty"`
	// sessionAffinityConfig of the Service: how long a client's affinity lasts.
	//
	// +optional
	SessionAffinityConfig *corev1.SessionAffinityConfig `json:"sessionAffinityConfig,omitempty"`

	// internalTrafficPolicy of the Service. Absent means Cluster.
	//
	// +optional
	InternalTrafficPolicy *corev1.ServiceInternalTrafficPolicy `json:"internalTrafficPolicy,omitempty"`
	// trafficDistribution of the Service. Absent means no preference.
	//
	// +optional
	TrafficDistribution *string `json:"trafficDistribution,omitempty"`

	// audience is the clusters that the export is for. Absent means all members. Other members do not
	// import it. A version that does not know this field imports it all the same, and the exporting
	// cluster's gateways refuse its packets.
	//
	// +optional
	Audience *ExportAudience `json:"audience,omitempty"`

	// exportedLabels are the ServiceExport's (spec.exportedLabels), for the ServiceImport.
	//
	// +optional
	ExportedLabels map[string]string `json:"exportedLabels,omitempty"`
	// exportedAnnotations are the ServiceExport's (spec.exportedAnnotations), for the ServiceImport.
	//
	// +optional
	ExportedAnnotations map[string]string `json:"exportedAnnotations,omitempty"`
}

// ExportedService is one cluster's export of one Service. The exporting member's operator writes it on
// the hub. Its name is the cluster's ID, a dot and a hash of the Service's namespace and name.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=exsvc
// +kubebuilder:printcolumn:name="Cluster",type=string,JSONPath=`.metadata.labels.multicluster\.kubernetes\.io/source-cluster`
// +kubebuilder:printcolumn:name="Service-Namespace",type=string,JSONPath=`.spec.namespace`
// +kubebuilder:printcolumn:name="Service",type=string,JSONPath=`.spec.name`
// +kubebuilder:printcolumn:name="Type",type=string,JSONPath=`.spec.type`
// +kubebuilder:printcolumn:name="Exported",type=date,JSONPath=`.spec.exportedAt`
type ExportedService struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec ExportedServiceSpec `json:"spec"`
}

// ExportedServiceList is a list of ExportedServices.
//
// +kubebuilder:object:root=true
type ExportedServiceList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ExportedService `json:"items"`
}
