//go:build integration

package web

import (
	"fmt"
	"net/http/httptest"
	"path/filepath"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/utils/ptr"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/test/harness/apiserver"
)

// newScheme knows the kinds that the page reads.
func newScheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme, mcsv1beta1.Install} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	return scheme
}

// newServer serves those kinds, and the objects.
func newServer(t *testing.T, objects ...runtime.Object) *apiserver.Server {
	t.Helper()
	kind := func(group schema.GroupVersion, kind, plural string, namespaced bool) apiserver.Kind {
		return apiserver.Kind{GroupVersionKind: group.WithKind(kind), Plural: plural, Namespaced: namespaced}
	}
	mcs := schema.GroupVersion(mcsv1beta1.GroupVersion)
	s := apiserver.New(newScheme(t),
		kind(corev1.SchemeGroupVersion, "Node", "nodes", false), kind(corev1.SchemeGroupVersion, "Event", "events", true), kind(corev1.SchemeGroupVersion, "Pod", "pods", true),
		kind(appsv1.SchemeGroupVersion, "Deployment", "deployments", true), kind(discoveryv1.SchemeGroupVersion, "EndpointSlice", "endpointslices", true),
		kind(mcs, "ServiceImport", "serviceimports", true), kind(mcs, "ServiceExport", "serviceexports", true),
		kind(v1alpha1.GroupVersion, "ClusterSet", "clustersets", false), kind(v1alpha1.GroupVersion, "RemoteCluster", "remoteclusters", false),
		kind(v1alpha1.GroupVersion, "GatewayNode", "gatewaynodes", true), kind(v1alpha1.GroupVersion, "TrafficPolicy", "trafficpolicies", true),
		kind(v1alpha1.GroupVersion, "ExportPolicy", "exportpolicies", true))
	if err := s.Put(objects...); err != nil {
		t.Fatal(err)
	}
	return s
}

// kubeconfig names each server by a context.
func kubeconfig(t *testing.T, servers map[string]*apiserver.Server) string {
	t.Helper()
	config := clientcmdapi.NewConfig()
	for name, s := range servers {
		listening := httptest.NewServer(s)
		t.Cleanup(func() {
			listening.CloseClientConnections()
			listening.Close()
		})
		config.Clusters[name] = &clientcmdapi.Cluster{Server: listening.URL}
		config.Contexts[name] = &clientcmdapi.Context{Cluster: name}
	}
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(*config, file); err != nil {
		t.Fatal(err)
	}
	return file
}

// replaceServer has a context lead elsewhere.
func replaceServer(t *testing.T, kubeconfig, name, url string) {
	t.Helper()
	config, err := clientcmd.LoadFromFile(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	config.Clusters[name].Server = url
	if err := clientcmd.WriteToFile(*config, kubeconfig); err != nil {
		t.Fatal(err)
	}
}

func condition(kind string, status metav1.ConditionStatus, reason, message string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message, LastTransitionTime: metav1.Now()}
}

// member is a cluster of two nodes and two gateways in which everything is right.
func member(id string, index int32) []runtime.Object {
	set := &v1alpha1.ClusterSet{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.ClusterSetName},
		Spec: v1alpha1.ClusterSetSpec{ClusterSetID: "demo", ClusterID: v1alpha1.ClusterID(id), VIPCIDRs: []v1alpha1.CIDR{"244.0.0.0/16"}, TransitCIDR: "245.0.0.0/8"},
		Status: v1alpha1.ClusterSetStatus{Index: index, Region: "eu", CIDRs: []v1alpha1.CIDR{v1alpha1.CIDR(fmt.Sprintf("10.%d.0.0/16", index))}, Conditions: []metav1.Condition{
			condition(v1alpha1.ConditionAccepted, metav1.ConditionTrue, "Accepted", ""),
			condition(v1alpha1.ConditionHubConnected, metav1.ConditionTrue, "Connected", ""),
			condition(v1alpha1.ConditionDNSReady, metav1.ConditionTrue, "Configured", "")}}}
	operator := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: v1alpha1.DefaultNamespace, Name: "tombolo-operator", Labels: map[string]string{"app.kubernetes.io/name": "tombolo-operator"}},
		Spec: appsv1.DeploymentSpec{Replicas: ptr.To(int32(1))}, Status: appsv1.DeploymentStatus{ReadyReplicas: 1}}
	all := []runtime.Object{set, operator}
	for i := 1; i <= 3; i++ {
		labels := map[string]string{corev1.LabelTopologyZone: "a"}
		if i < 3 {
			labels[v1alpha1.LabelGateway] = "true"
			all = append(all, gateway(id, i, metav1.ConditionTrue))
		}
		all = append(all, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-%d", id, i), Labels: labels}, Status: corev1.NodeStatus{
			Conditions: []corev1.NodeCondition{{Type: v1alpha1.NodeConditionDataplane, Status: corev1.ConditionTrue}},
			Addresses:  []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: fmt.Sprintf("192.0.2.%d", i)}}}})
	}
	return all
}

func gateway(id string, number int, alive metav1.ConditionStatus) *v1alpha1.GatewayNode {
	lane := v1alpha1.Lane(number - 1)
	name := fmt.Sprintf("%s-%d", id, number)
	return &v1alpha1.GatewayNode{ObjectMeta: metav1.ObjectMeta{Namespace: v1alpha1.DefaultNamespace, Name: name},
		Spec: v1alpha1.GatewayNodeSpec{NodeName: name, Endpoints: []v1alpha1.Endpoint{{Address: v1alpha1.IPAddress(fmt.Sprintf("192.0.2.%d", number)), Port: 51820}}},
		Status: v1alpha1.GatewayNodeStatus{Lane: &lane, Conditions: []metav1.Condition{
			condition(v1alpha1.ConditionAlive, alive, "Heartbeat", ""), condition(v1alpha1.ConditionReady, metav1.ConditionTrue, "Ready", "")}}}
}

// remote is how the cluster sees another one, with links of that state.
func remote(id, other string, index int32, state v1alpha1.LinkState) *v1alpha1.RemoteCluster {
	rc := &v1alpha1.RemoteCluster{ObjectMeta: metav1.ObjectMeta{Name: other}, Spec: v1alpha1.RemoteClusterSpec{Index: index, Region: "eu", CIDRs: []v1alpha1.CIDR{v1alpha1.CIDR(fmt.Sprintf("10.%d.0.0/16", index))}}}
	reachable, message := metav1.ConditionTrue, ""
	if state == v1alpha1.LinkDown {
		reachable, message = metav1.ConditionFalse, "no probe has been answered for 1.2 s: is UDP 51820 open between the gateways?"
	} else {
		rc.Status.RTTMilliseconds, rc.Status.LossPercent = 3, ptr.To(int32(0))
	}
	rc.Status.Conditions = []metav1.Condition{condition(v1alpha1.ConditionAccepted, metav1.ConditionTrue, "Accepted", ""), condition(v1alpha1.ConditionReachable, reachable, "NoLinkUp", message)}
	for i := 1; i <= 2; i++ {
		rc.Spec.Gateways = append(rc.Spec.Gateways, v1alpha1.RemoteGateway{Name: fmt.Sprintf("%s-%d", other, i), Lane: v1alpha1.Lane(i - 1)})
		links := v1alpha1.GatewayLinks{Gateway: fmt.Sprintf("%s-%d", id, i)}
		for j := 1; j <= 2; j++ {
			links.Links = append(links.Links, v1alpha1.Link{RemoteGateway: fmt.Sprintf("%s-%d", other, j), State: state, RTTMilliseconds: rc.Status.RTTMilliseconds, Since: metav1.Now(), Message: message})
		}
		rc.Status.Links = append(rc.Status.Links, links)
	}
	return rc
}

// exported is a ServiceExport; conflict names a reason, or is empty.
func exported(namespace, name, conflict string) *mcsv1beta1.ServiceExport {
	conditions := []metav1.Condition{condition("Valid", metav1.ConditionTrue, "Valid", ""), condition("Ready", metav1.ConditionTrue, "Exported", "")}
	if conflict != "" {
		conditions = append(conditions, condition("Conflict", metav1.ConditionTrue, conflict, "port http is 80 in east and 8080 in west: the oldest export decides"))
	}
	return &mcsv1beta1.ServiceExport{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Status: mcsv1beta1.ServiceExportStatus{Conditions: conditions}}
}

// imported is a ServiceImport with that many endpoints from each cluster, of which the first is not
// ready.
func imported(namespace, name string, number int, exporters ...string) []runtime.Object {
	si := &mcsv1beta1.ServiceImport{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, UID: "import-" + "uid", Labels: map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}},
		Spec: mcsv1beta1.ServiceImportSpec{Type: mcsv1beta1.ClusterSetIP, IPs: []string{fmt.Sprintf("244.0.%d.%d", 1+number/250, 1+number%250)},
			Ports: []mcsv1beta1.ServicePort{{Name: "http", Port: 80, Protocol: corev1.ProtocolTCP}}}}
	all := []runtime.Object{si}
	for _, id := range exporters {
		si.Status.Clusters = append(si.Status.Clusters, mcsv1beta1.ClusterStatus{Cluster: id})
		slice := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: id + "." + name, Labels: map[string]string{
			v1alpha1.LabelServiceName: name, v1alpha1.LabelSourceCluster: id, discoveryv1.LabelManagedBy: v1alpha1.ManagedBy},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "multicluster.x-k8s.io/v1beta1", Kind: "ServiceImport", Name: name, UID: si.UID}}},
			AddressType: discoveryv1.AddressTypeIPv4, Ports: []discoveryv1.EndpointPort{{Name: ptr.To("http"), Port: ptr.To(int32(8080)), Protocol: ptr.To(corev1.ProtocolTCP)}}}
		for i := range 3 {
			index := map[string]int{"east": 1, "west": 2, "north": 3}[id]
			slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{fmt.Sprintf("10.%d.%d.%d", index, number%250, i+1)},
				Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(i > 0), Serving: ptr.To(i > 0), Terminating: ptr.To(false)}, Zone: ptr.To("a")})
		}
		all = append(all, slice)
	}
	return all
}

// weighted prefers east, then west and north by weight.
func weighted(namespace, name string) *v1alpha1.TrafficPolicy {
	return &v1alpha1.TrafficPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: v1alpha1.TrafficPolicySpec{
		TargetRef: v1alpha1.TrafficPolicyTarget{Group: mcsv1beta1.GroupName, Kind: "ServiceImport", Name: name}, Scheduler: v1alpha1.SchedulerRoundRobin,
		Failover: []v1alpha1.FailoverStep{{Clusters: []v1alpha1.ClusterID{"east", "west"}}, {Clusters: []v1alpha1.ClusterID{"north"}}},
		Weights:  []v1alpha1.ClusterWeight{{Cluster: "east", Weight: 60}, {Cluster: "west", Weight: 40}, {Cluster: "north", Weight: 100}}},
		Status: v1alpha1.TrafficPolicyStatus{Conditions: []metav1.Condition{condition(v1alpha1.ConditionAccepted, metav1.ConditionTrue, "Accepted", "")}}}
}

// small are three clusters that know each other, and some Services. Their servers are by context.
func small(t *testing.T) map[string]*apiserver.Server {
	t.Helper()
	ids := []string{"east", "west", "north"}
	servers := map[string]*apiserver.Server{}
	for i, id := range ids {
		objects := member(id, int32(i+1))
		for j, other := range ids {
			if other != id {
				objects = append(objects, remote(id, other, int32(j+1), v1alpha1.LinkUp))
			}
		}
		objects = append(objects, exported("shop", "web", ""), weighted("shop", "web"))
		objects = append(objects, imported("shop", "web", 1, ids...)...)
		objects = append(objects, imported("shop", "cart", 2, "east", "west")...)
		if id != "north" {
			objects = append(objects, exported("shop", "cart", "PortConflict"))
		}
		servers[id] = newServer(t, objects...)
	}
	return servers
}
