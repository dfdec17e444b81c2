package dataplane

import (
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

const (
	servicePort = 80
	// targetPort is where first packets go; the other two are those of the programs that answer.
	targetPort, httpPort, iperfPort = 8080, 8090, 5201
	// room is how many addresses of endpoints each service has for itself.
	room = 32
)

// remoteCIDR holds all endpoints, which are in another cluster.
const remoteCIDR = "10.16.0.0/12"

// service is a virtual IP with its endpoints, as ServiceImport of the agent or as Service of
// kube-proxy.
type service struct {
	index     int
	target    int32
	endpoints []netip.Addr
}

// services of n endpoints each, all addresses distinct.
func services(count, n int) []service {
	all := make([]service, 0, count)
	for i := range count {
		all = append(all, newService(i, targetPort, n))
	}
	return all
}

func newService(index int, target int32, n int) service {
	s := service{index: index, target: target}
	for i := range n {
		s.endpoints = append(s.endpoints, endpoint(index, i))
	}
	return s
}

// endpoint is the address of a service's endpoint of that number, less than room.
func endpoint(service, number int) netip.Addr {
	return after(netip.MustParsePrefix(remoteCIDR).Addr(), (service+1)*room+number)
}

// after is the IPv4 address that comes n addresses later.
func after(a netip.Addr, n int) netip.Addr {
	b := a.As4()
	sum := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3]) + uint32(n)
	return netip.AddrFrom4([4]byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)})
}

func (s service) name() string { return fmt.Sprintf("service-%05d", s.index) }

const serviceNamespace = "default"

// imported are the ServiceImport and its slice, as the operator writes them.
func (s service) imported() []runtime.Object {
	labels := map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}
	slice := s.slice(map[string]string{v1alpha1.LabelServiceName: s.name(), v1alpha1.LabelSourceCluster: "east",
		discoveryv1.LabelManagedBy: v1alpha1.ManagedBy})
	slice.OwnerReferences = []metav1.OwnerReference{{UID: types.UID(s.name())}}
	return []runtime.Object{slice, &mcsv1beta1.ServiceImport{
		ObjectMeta: metav1.ObjectMeta{Namespace: serviceNamespace, Name: s.name(), UID: types.UID(s.name()), Labels: labels},
		Spec: mcsv1beta1.ServiceImportSpec{Type: mcsv1beta1.ClusterSetIP, IPs: []string{clusterSetIP(s.index).String()},
			Ports: []mcsv1beta1.ServicePort{{Name: "tcp", Protocol: corev1.ProtocolTCP, Port: servicePort}}},
	}}
}

// ordinary are the Service and its slice, as an API server and its controllers write them.
func (s service) ordinary() []runtime.Object {
	ip := clusterIP(s.index).String()
	slice := s.slice(map[string]string{discoveryv1.LabelServiceName: s.name(), discoveryv1.LabelManagedBy: "endpointslice-controller.k8s.io"})
	return []runtime.Object{slice, &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: serviceNamespace, Name: s.name()},
		Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP, ClusterIP: ip, ClusterIPs: []string{ip},
			IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol}, IPFamilyPolicy: ptr.To(corev1.IPFamilyPolicySingleStack),
			InternalTrafficPolicy: ptr.To(corev1.ServiceInternalTrafficPolicyCluster), SessionAffinity: corev1.ServiceAffinityNone,
			Selector: map[string]string{"app": s.name()},
			Ports:    []corev1.ServicePort{{Name: "tcp", Protocol: corev1.ProtocolTCP, Port: servicePort, TargetPort: intstr.FromInt32(s.target)}}},
	}}
}

func (s service) slice(labels map[string]string) *discoveryv1.EndpointSlice {
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: serviceNamespace, Name: s.name() + "-east", Labels: labels},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: ptr.To("tcp"), Protocol: ptr.To(corev1.ProtocolTCP), Port: &s.target}},
	}
	for _, e := range s.endpoints {
		slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{e.String()},
			Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(true), Serving: ptr.To(true), Terminating: ptr.To(false)},
			NodeName:   ptr.To("east-worker"), Zone: ptr.To("east-a")})
	}
	return slice
}

// vipCIDR holds the clusterset IPs, and serviceCIDR the ClusterIPs.
const vipCIDR, serviceCIDR = "244.0.0.0/16", "10.96.0.0/12"

func clusterSetIP(index int) netip.Addr { return after(netip.MustParsePrefix(vipCIDR).Addr(), index+1) }

func clusterIP(index int) netip.Addr {
	return after(netip.MustParsePrefix(serviceCIDR).Addr(), index+10)
}
