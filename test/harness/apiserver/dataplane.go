package apiserver

import (
	"errors"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// Dataplane returns a Server, without objects, of the kinds that `tombolo dataplane` reads. The
// error is about their Go types.
func Dataplane() (*Server, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme), mcsv1beta1.Install(scheme)); err != nil {
		return nil, err
	}
	return New(scheme,
		Kind{GroupVersionKind: corev1.SchemeGroupVersion.WithKind("Node"), Plural: "nodes"},
		Kind{GroupVersionKind: discoveryv1.SchemeGroupVersion.WithKind("EndpointSlice"), Plural: "endpointslices", Namespaced: true},
		Kind{GroupVersionKind: schema.GroupVersion(mcsv1beta1.GroupVersion).WithKind("ServiceImport"), Plural: "serviceimports", Namespaced: true},
		Kind{GroupVersionKind: v1alpha1.GroupVersion.WithKind("ClusterSet"), Plural: "clustersets"},
		Kind{GroupVersionKind: v1alpha1.GroupVersion.WithKind("RemoteCluster"), Plural: "remoteclusters"},
		Kind{GroupVersionKind: v1alpha1.GroupVersion.WithKind("GatewayNode"), Plural: "gatewaynodes", Namespaced: true},
		Kind{GroupVersionKind: v1alpha1.GroupVersion.WithKind("TrafficPolicy"), Plural: "trafficpolicies", Namespaced: true},
	), nil
}
