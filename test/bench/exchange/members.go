package exchange

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/mcs"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// endpoints of each Service.
const endpoints = 10

// member is one of the clusterset's. Its index is also its second octet: 1-254.
type member struct {
	id        v1alpha1.ClusterID
	index     int
	namespace string // of its Services
}

// crowdMembers are n members, each with a namespace of its own, named like it.
func crowdMembers(n int) []member {
	var all []member
	for i := range n {
		id := fmt.Sprintf("m%03d", i+1)
		all = append(all, member{v1alpha1.ClusterID(id), i + 1, id})
	}
	return all
}

func (m member) onHub() *v1alpha1.Member {
	return &v1alpha1.Member{
		ObjectMeta: metav1.ObjectMeta{Namespace: v1alpha1.DefaultHubNamespace, Name: string(m.id)},
		Spec:       v1alpha1.MemberSpec{Index: int32(m.index), CIDRs: []v1alpha1.CIDR{v1alpha1.CIDR(fmt.Sprintf("10.%d.0.0/16", m.index))}},
	}
}

func (m member) clusterSet(hubURL string) *v1alpha1.ClusterSet {
	return &v1alpha1.ClusterSet{
		ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.ClusterSetName},
		Spec: v1alpha1.ClusterSetSpec{
			ClusterSetID: setID,
			ClusterID:    m.id,
			Hub:          v1alpha1.HubAccess{Server: hubURL, SecretRef: v1alpha1.SecretReference{Name: secretName}},
		},
	}
}

func namespaceNamed(name string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

func serviceName(n int) string { return fmt.Sprintf("service-%03d", n) }

// exported is the n-th of the member's Services in its own cluster: with an export, and a slice of
// ready endpoints.
func (m member) exported(n int) []client.Object {
	return []client.Object{m.service(n), m.export(n), m.slice(n)}
}

func (m member) service(n int) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: m.namespace, Name: serviceName(n)},
		Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": serviceName(n)}, Ports: []corev1.ServicePort{{Name: "http", Port: 80}}},
	}
}

func (m member) export(n int) *mcsv1beta1.ServiceExport {
	return &mcsv1beta1.ServiceExport{ObjectMeta: metav1.ObjectMeta{Namespace: m.namespace, Name: serviceName(n)}}
}

// slice has the endpoints 10.<index>.0.0 and up; those from 10.<index>.128.0 are for changes.
func (m member) slice(n int) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: m.namespace, Name: serviceName(n) + "-abcde",
			Labels: map[string]string{discoveryv1.LabelServiceName: serviceName(n), discoveryv1.LabelManagedBy: "endpointslice-controller.k8s.io"},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: ptr.To("http"), Port: ptr.To[int32](8080), Protocol: ptr.To(corev1.ProtocolTCP)}},
	}
	for i := range endpoints {
		pod := fmt.Sprintf("%s-6d5f7c9b48-%05d", serviceName(n), i)
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{
			Addresses:  []string{m.address(n*endpoints + i)},
			Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(true), Serving: ptr.To(true), Terminating: ptr.To(false)},
			TargetRef:  &corev1.ObjectReference{Kind: "Pod", Namespace: m.namespace, Name: pod, UID: "c0ffee00-0000-4000-8000-000000000000"},
			NodeName:   ptr.To(fmt.Sprintf("node-%d", i%5)),
			Zone:       ptr.To(fmt.Sprintf("zone-%d", i%3)),
		})
	}
	return s
}

// address is the n-th of the member's addresses.
func (m member) address(n int) string { return fmt.Sprintf("10.%d.%d.%d", m.index, n>>8, n&255) }

// spare is the first address, as a number, that no Service has from the start.
const spare = 128 << 8

// published is what the hub holds of the n-th Service once the member has exported it.
func (m member) published(n int) []client.Object {
	service, export := m.service(n), m.export(n)
	service.Spec.IPFamilies = []corev1.IPFamily{corev1.IPv4Protocol} // as the API server completes it
	export.CreationTimestamp = metav1.Now()
	slice := m.slice(n)
	hub := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: v1alpha1.DefaultHubNamespace, Name: clusterset.HubSliceName(m.id, m.namespace, serviceName(n), 0),
			Labels: map[string]string{
				v1alpha1.LabelNamespace:     m.namespace,
				v1alpha1.LabelServiceName:   serviceName(n),
				v1alpha1.LabelSourceCluster: string(m.id),
				discoveryv1.LabelManagedBy:  v1alpha1.ManagedBy,
				corev1.IsHeadlessService:    "",
			},
		},
		AddressType: slice.AddressType,
		Ports:       slice.Ports,
		Endpoints:   slice.Endpoints,
	}
	for i := range hub.Endpoints {
		hub.Endpoints[i].TargetRef = nil
	}
	return []client.Object{mcs.ExportedServiceFor(m.id, v1alpha1.DefaultHubNamespace, service, export), hub}
}
