package explain

import (
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/dataplane/plan"
	"github.com/tombolo-net/tombolo/internal/topology"
)

func condition(kind string, status metav1.ConditionStatus, reason, message string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message}
}

// member is a cluster in which everything is right. It knows the other one.
func member(id, other string, cidr, otherCIDR v1alpha1.CIDR) Cluster {
	c := Cluster{DNSServer: "10.0.0.10:53", Namespace: &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop"}}}
	c.Context = id
	c.OperatorReplicas = topology.Replicas{Wanted: 1, Ready: 1}
	c.ClusterSet = &v1alpha1.ClusterSet{ObjectMeta: metav1.ObjectMeta{Name: "default"},
		Spec: v1alpha1.ClusterSetSpec{ClusterSetID: "demo", ClusterID: v1alpha1.ClusterID(id), VIPCIDRs: []v1alpha1.CIDR{"244.0.0.0/16"}},
		Status: v1alpha1.ClusterSetStatus{CIDRs: []v1alpha1.CIDR{cidr}, Conditions: []metav1.Condition{
			condition(v1alpha1.ConditionAccepted, metav1.ConditionTrue, "Accepted", ""),
			condition(v1alpha1.ConditionHubConnected, metav1.ConditionTrue, "Connected", ""),
			condition(v1alpha1.ConditionDNSReady, metav1.ConditionTrue, "Configured", "")}}}
	node := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: id + "-2"}}
	node.Status.Conditions = []corev1.NodeCondition{{Type: v1alpha1.NodeConditionDataplane, Status: corev1.ConditionTrue}}
	node.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "192.0.2.2"}}
	c.Nodes = []corev1.Node{node}
	c.GatewayNodes = []v1alpha1.GatewayNode{{ObjectMeta: metav1.ObjectMeta{Namespace: "tombolo-system", Name: id + "-1"},
		Status: v1alpha1.GatewayNodeStatus{Lane: ptr.To(v1alpha1.Lane(0)), Conditions: []metav1.Condition{
			condition(v1alpha1.ConditionAlive, metav1.ConditionTrue, "Heartbeat", ""), condition(v1alpha1.ConditionReady, metav1.ConditionTrue, "Ready", "")}}}}
	c.RemoteClusters = []v1alpha1.RemoteCluster{{ObjectMeta: metav1.ObjectMeta{Name: other}, Spec: v1alpha1.RemoteClusterSpec{CIDRs: []v1alpha1.CIDR{otherCIDR}},
		Status: v1alpha1.RemoteClusterStatus{RTTMilliseconds: 3,
			Links:      []v1alpha1.GatewayLinks{{Gateway: id + "-1", Links: []v1alpha1.Link{{RemoteGateway: other + "-1", State: v1alpha1.LinkUp}}}},
			Conditions: []metav1.Condition{condition(v1alpha1.ConditionReachable, metav1.ConditionTrue, "LinkUp", "")}}}}
	return c
}

// healthy is a name that works: web in namespace shop, exported by east, asked for in west.
func healthy() Facts {
	west, east := member("west", "east", "10.2.0.0/16", "10.1.0.0/16"), member("east", "west", "10.1.0.0/16", "10.2.0.0/16")
	meta := metav1.ObjectMeta{Namespace: "shop", Name: "web"}
	east.Exports = []mcsv1beta1.ServiceExport{{ObjectMeta: meta, Status: mcsv1beta1.ServiceExportStatus{Conditions: []metav1.Condition{
		condition("Valid", metav1.ConditionTrue, "Valid", ""), condition("Ready", metav1.ConditionTrue, "Exported", "")}}}}
	east.Service = &corev1.Service{ObjectMeta: meta, Spec: corev1.ServiceSpec{ClusterIP: "10.101.0.9", Selector: map[string]string{"app": "web"},
		Ports: []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromString("http")}}}}
	slice := discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web-1"}, AddressType: discoveryv1.AddressTypeIPv4,
		Ports:     []discoveryv1.EndpointPort{{Name: ptr.To("http"), Port: ptr.To(int32(8080)), Protocol: ptr.To(corev1.ProtocolTCP)}},
		Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"10.1.0.5"}, Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(true)}}}}
	east.Slices = []discoveryv1.EndpointSlice{slice}
	east.Pods = []corev1.Pod{{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web-5", Labels: map[string]string{"app": "web"}},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIPs: []corev1.PodIP{{IP: "10.1.0.5"}}}}}

	west.Imports = []mcsv1beta1.ServiceImport{{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "import", Labels: map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}},
		Spec: mcsv1beta1.ServiceImportSpec{Type: mcsv1beta1.ClusterSetIP, IPs: []string{"244.0.0.9"},
			Ports: []mcsv1beta1.ServicePort{{Name: "http", Port: 80, Protocol: corev1.ProtocolTCP}}},
		Status: mcsv1beta1.ServiceImportStatus{Clusters: []mcsv1beta1.ClusterStatus{{Cluster: "east"}}}}}
	imported := *slice.DeepCopy()
	imported.Name, imported.Labels = "east.1.0", map[string]string{v1alpha1.LabelServiceName: "web", v1alpha1.LabelSourceCluster: "east", discoveryv1.LabelManagedBy: v1alpha1.ManagedBy}
	imported.OwnerReferences = []metav1.OwnerReference{{UID: "import"}}
	west.ImportedSlices = []discoveryv1.EndpointSlice{imported}
	vip := netip.MustParseAddr("244.0.0.9")
	west.Told = map[string]Told{"west-2": {Reply: Reply{
		Decision: &plan.Explained{Ports: []plan.Explanation{{Address: vip, Port: 80, Protocol: corev1.ProtocolTCP, Outcome: "level 1 (all endpoints) gets 100 % of new flows",
			Endpoints: []plan.ExplainedEndpoint{{Address: netip.MustParseAddr("10.1.0.5"), Port: 8080, Cluster: "east", Programmed: true, Weight: 1, Why: "ready"}}}}},
		Gateways: []plan.ExplainedGateway{{Name: "west-1", Used: true, Answers: "alive"}},
		DNS:      []DNSReply{{Type: "A", Code: "NOERROR", Addresses: []netip.Addr{vip}}, {Type: "AAAA", Code: "NOERROR"}},
	}}}
	return Facts{Name: Name{Namespace: "shop", Service: "web"}, Now: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC),
		Client:   Client{Cluster: "west", Node: "west-2", Pod: "shop/client", Addresses: []netip.Addr{netip.MustParseAddr("10.2.0.7")}},
		Clusters: []Cluster{west, east}}
}
