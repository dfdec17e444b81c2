package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the group and version of every kind in this package.
var GroupVersion = schema.GroupVersion{Group: "clusterset.tombolo.dev", Version: "v1alpha1"}

// SchemeBuilder adds the kinds of this package to a scheme.
var SchemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)

// AddToScheme adds the kinds of this package to a scheme. It never fails for a fresh scheme.
var AddToScheme = SchemeBuilder.AddToScheme

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion,
		&ClusterSet{}, &ClusterSetList{},
		&Member{}, &MemberList{},
		&GatewayNode{}, &GatewayNodeList{},
		&ExportedService{}, &ExportedServiceList{},
		&RemoteCluster{}, &RemoteClusterList{},
		&TrafficPolicy{}, &TrafficPolicyList{},
		&ExportPolicy{}, &ExportPolicyList{},
	)
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
