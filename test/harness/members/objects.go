//go:build integration

package members

import (
	"crypto/sha256"
	"encoding/base64"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
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

// Meta is the metadata of namespace/name.
func Meta(namespace, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: namespace, Name: name}
}

// EndpointSliceController is who makes the slices of a Service with a selector.
const EndpointSliceController = "endpointslice-controller.k8s.io"

// Service selects pods, and has one TCP port, http 80.
func Service(namespace, name string) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: Meta(namespace, name),
		Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": name}, Ports: []corev1.ServicePort{{Name: "http", Port: 80}}},
	}
}

// Export is a ServiceExport.
func Export(namespace, name string) *mcsv1beta1.ServiceExport {
	return &mcsv1beta1.ServiceExport{ObjectMeta: Meta(namespace, name)}
}

// Slice is a local IPv4 EndpointSlice of the Service, as its controller makes it, with these ready endpoints on port 8080.
func Slice(namespace, name, service string, addresses ...string) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{
		ObjectMeta:  Meta(namespace, name),
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: ptr.To("http"), Port: ptr.To[int32](8080), Protocol: ptr.To(corev1.ProtocolTCP)}},
	}
	s.Labels = map[string]string{discoveryv1.LabelServiceName: service, discoveryv1.LabelManagedBy: EndpointSliceController}
	for _, a := range addresses {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{
			Addresses:  []string{a},
			Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(true)},
			Zone:       ptr.To("zone-1"),
			NodeName:   ptr.To("node-1"),
		})
	}
	return s
}

// Publish makes what a member has on the hub of an exported Service: the ExportedService, and one
// slice for each list of addresses.
func (c *Cluster) Publish(t *testing.T, cluster v1alpha1.ClusterID, namespace, name string, addresses ...[]string) (*v1alpha1.ExportedService, []*discoveryv1.EndpointSlice) {
	t.Helper()
	export := mcs.ExportedServiceFor(cluster, v1alpha1.DefaultHubNamespace, Service(namespace, name), Export(namespace, name))
	export.Spec.IPFamilies = []corev1.IPFamily{corev1.IPv4Protocol}
	export.Spec.ExportedAt = metav1.Now()
	var slices []*discoveryv1.EndpointSlice
	var set []discoveryv1.EndpointSlice
	for n, list := range addresses {
		s := Slice(v1alpha1.DefaultHubNamespace, clusterset.HubSliceName(cluster, namespace, name, n), "", list...)
		s.Labels = map[string]string{
			v1alpha1.LabelNamespace:     namespace,
			v1alpha1.LabelServiceName:   name,
			v1alpha1.LabelSourceCluster: string(cluster),
			discoveryv1.LabelManagedBy:  v1alpha1.ManagedBy,
		}
		slices, set = append(slices, s), append(set, *s)
	}
	export.Spec.SliceSet = clusterset.SliceSet(set)
	c.Make(t, export)
	for _, s := range slices {
		c.Make(t, s)
	}
	return export, slices
}

// Heartbeat renews the member's Lease, saying that it exports just these (names on the hub): twice,
// because only what was renewed before our eyes is believed.
func (c *Cluster) Heartbeat(t *testing.T, cluster v1alpha1.ClusterID, names ...string) {
	t.Helper()
	for range 2 {
		c.HeartbeatAt(t, cluster, time.Now(), names...)
	}
}

// HeartbeatAt renews the member's Lease at that time of the member's clock.
func (c *Cluster) HeartbeatAt(t *testing.T, cluster v1alpha1.ClusterID, now time.Time, names ...string) {
	t.Helper()
	lease := &coordinationv1.Lease{ObjectMeta: Meta(v1alpha1.DefaultHubNamespace, clusterset.LeaseName(cluster))}
	err := c.Get(t.Context(), client.ObjectKeyFromObject(lease), lease)
	lease.Labels = map[string]string{v1alpha1.LabelSourceCluster: string(cluster)}
	lease.Annotations = clusterset.HeartbeatAnnotations(names)
	lease.Spec.RenewTime = &metav1.MicroTime{Time: now}
	if err != nil {
		c.Make(t, lease)
		return
	}
	if err := c.Update(t.Context(), lease); err != nil {
		t.Fatal(err)
	}
}

// Member makes a Member on the hub.
func (c *Cluster) Member(t *testing.T, name string, index int32, cidrs ...v1alpha1.CIDR) *v1alpha1.Member {
	t.Helper()
	member := &v1alpha1.Member{
		ObjectMeta: Meta(v1alpha1.DefaultHubNamespace, name),
		Spec:       v1alpha1.MemberSpec{Index: index, CIDRs: cidrs},
	}
	c.Make(t, member)
	return member
}

// Remote makes a RemoteCluster whose CIDRs are in use.
func (c *Cluster) Remote(t *testing.T, name string, index int32, cidrs ...v1alpha1.CIDR) *v1alpha1.RemoteCluster {
	t.Helper()
	remote := &v1alpha1.RemoteCluster{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       v1alpha1.RemoteClusterSpec{Index: index, CIDRs: cidrs},
	}
	c.Make(t, remote)
	return remote
}

// PublicKey is a gateway's public key that nobody has under another name.
func PublicKey(name string) string {
	sum := sha256.Sum256([]byte(name))
	return base64.StdEncoding.EncodeToString(sum[:])
}
