package agent

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/node"
)

// TestStripSlice: what plans read of a slice stays, and what its endpoints have in common is there
// once.
func TestStripSlice(t *testing.T) {
	now := metav1.Now()
	endpoint := func(address, node string, ready, terminating bool) discoveryv1.Endpoint {
		return discoveryv1.Endpoint{Addresses: []string{address}, NodeName: ptr.To(node), Zone: ptr.To("a"),
			Conditions: discoveryv1.EndpointConditions{Ready: &ready, Serving: ptr.To(true), Terminating: &terminating}}
	}
	want := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web-east", UID: "1", ResourceVersion: "7", DeletionTimestamp: &now,
			Labels:          map[string]string{v1alpha1.LabelServiceName: "web", v1alpha1.LabelSourceCluster: "east", discoveryv1.LabelManagedBy: v1alpha1.ManagedBy},
			OwnerReferences: []metav1.OwnerReference{{UID: "web"}}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: ptr.To("http"), Protocol: ptr.To(corev1.ProtocolTCP), Port: ptr.To[int32](8080)}},
		Endpoints: []discoveryv1.Endpoint{endpoint("10.1.0.5", "one", true, false), endpoint("10.1.0.6", "two", false, true),
			endpoint("10.1.0.7", "one", true, false), {Addresses: []string{"10.1.0.8"}}},
	}
	full := want.DeepCopy()
	full.OwnerReferences = []metav1.OwnerReference{{Kind: "ServiceImport", Name: "web", UID: "web", Controller: ptr.To(true)}}
	full.Annotations = map[string]string{"note": "long"}
	full.Labels["other"] = "label"
	full.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "operator"}}
	full.Endpoints[0].Hostname, full.Endpoints[0].TargetRef = ptr.To("web-0"), &corev1.ObjectReference{Kind: "Pod", Name: "web-0"}
	full.Endpoints[0].Hints = &discoveryv1.EndpointHints{ForZones: []discoveryv1.ForZone{{Name: "a"}}}
	stripped, err := stripSlice(full)
	got, ok := stripped.(*discoveryv1.EndpointSlice)
	if err != nil || !ok {
		t.Fatalf("%v, %v", stripped, err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("stripped (-want +got)\n%s", diff)
	}
	if a, b := got.Endpoints[0], got.Endpoints[2]; a.NodeName != b.NodeName || a.Zone != b.Zone || a.Conditions.Ready != b.Conditions.Ready {
		t.Error("two endpoints of one node, zone and readiness have a copy of them each")
	}
	if other, err := stripSlice("tombstone"); err != nil || other != "tombstone" {
		t.Errorf("what is no slice: %v, %v", other, err)
	}
}

// TestAlike: what is kept of an object marks it when it changes, and what is not kept does not.
func TestAlike(t *testing.T) {
	nodeOf := func(edit func(*corev1.Node)) any {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "worker", ResourceVersion: "1", Labels: map[string]string{"zone": "a"}}}
		edit(n)
		stripped, err := stripNode(n)
		if err != nil {
			t.Fatal(err)
		}
		return stripped
	}
	importOf := func(edit func(*mcsv1beta1.ServiceImport)) any {
		si := &mcsv1beta1.ServiceImport{ObjectMeta: metav1.ObjectMeta{Name: "web", ResourceVersion: "1"},
			Spec: mcsv1beta1.ServiceImportSpec{IPs: []string{"244.0.0.1"}}}
		edit(si)
		return si
	}
	slice := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Name: "web-east"}}
	now := metav1.Now()
	for _, tt := range []struct {
		name string

		old, new any
		marks    int
	}{
		{"a heartbeat of a Node", nodeOf(func(*corev1.Node) {}), nodeOf(func(n *corev1.Node) {
			n.ResourceVersion = "2"
			n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, LastHeartbeatTime: now}}
		}), 0},
		{"another label of a Node", nodeOf(func(*corev1.Node) {}), nodeOf(func(n *corev1.Node) { n.Labels["zone"] = "b" }), 2},
		{"an older Node", nodeOf(func(*corev1.Node) {}), nodeOf(func(n *corev1.Node) { n.CreationTimestamp = metav1.Unix(1, 0) }), 2},
		{"the condition of a Node", nodeOf(func(*corev1.Node) {}), nodeOf(func(n *corev1.Node) {
			n.Status.Conditions = []corev1.NodeCondition{{Type: v1alpha1.NodeConditionDataplane}}
		}), 2},
		{"the same ServiceImport", importOf(func(*mcsv1beta1.ServiceImport) {}),
			importOf(func(si *mcsv1beta1.ServiceImport) { si.ResourceVersion = "2" }), 0},
		{"another clusterset IP", importOf(func(*mcsv1beta1.ServiceImport) {}),
			importOf(func(si *mcsv1beta1.ServiceImport) { si.Spec.IPs[0] = "244.0.0.2" }), 2},
		{"another cluster", importOf(func(*mcsv1beta1.ServiceImport) {}), importOf(func(si *mcsv1beta1.ServiceImport) {
			si.Status.Clusters = []mcsv1beta1.ClusterStatus{{Cluster: "east"}}
		}), 2},
		{"a ServiceImport that goes", importOf(func(*mcsv1beta1.ServiceImport) {}),
			importOf(func(si *mcsv1beta1.ServiceImport) { si.DeletionTimestamp = &now }), 2},
		{"a slice", slice, slice.DeepCopy(), 2},
	} {
		marks := 0
		node.OnEvent(func(client.Object) { marks++ }, alike).OnUpdate(tt.old, tt.new)
		if marks != tt.marks {
			t.Errorf("%s: marked %d times, want %d", tt.name, marks, tt.marks)
		}
	}
}

// TestWatchMarksAllFirst: when the first pass may begin, all there is has been marked, so that
// there is no second one for what it has planned.
func TestWatchMarksAllFirst(t *testing.T) {
	const imports = 300
	cluster := manyCluster(t, imports)
	a := New(Config{Client: cluster.GetClient(), NodeName: "worker"})
	if err := a.Watch(t.Context(), cluster); err != nil {
		t.Fatal(err)
	}
	if work, started := a.marks.collect(); !started || len(work.services) != imports {
		t.Errorf("started %t with %d ServiceImports, want %d", started, len(work.services), imports)
	}
	if work, _ := a.marks.collect(); !work.empty() {
		t.Errorf("afterwards %d more were marked", len(work.services))
	}
}
