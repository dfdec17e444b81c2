package topology

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

var update = flag.Bool("update", false, "write testdata again")

func condition(kind string, status metav1.ConditionStatus, reason, message string) metav1.Condition {
	return metav1.Condition{Type: kind, Status: status, Reason: reason, Message: message}
}

// east exports shop/web and shop/old, has two gateways, of which one is dead, and two nodes, of which
// one does not serve. It knows west, which nobody asked.
func east() Snapshot {
	labels := map[string]string{v1alpha1.LabelServiceName: "web", v1alpha1.LabelSourceCluster: "east"}
	endpoint := func(ready *bool) discoveryv1.Endpoint {
		return discoveryv1.Endpoint{Conditions: discoveryv1.EndpointConditions{Ready: ready}}
	}
	slice := func(family discoveryv1.AddressType, endpoints ...discoveryv1.Endpoint) discoveryv1.EndpointSlice {
		return discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Labels: labels}, AddressType: family, Endpoints: endpoints}
	}
	gateway := func(name string, alive metav1.ConditionStatus, lane v1alpha1.Lane) v1alpha1.GatewayNode {
		return v1alpha1.GatewayNode{ObjectMeta: metav1.ObjectMeta{Namespace: "tombolo-system", Name: name},
			Spec: v1alpha1.GatewayNodeSpec{Endpoints: []v1alpha1.Endpoint{{Address: "192.0.2.1"}}},
			Status: v1alpha1.GatewayNodeStatus{Lane: &lane, Conditions: []metav1.Condition{
				condition(v1alpha1.ConditionAlive, alive, "NoHeartbeat", "it is gone"),
				condition(v1alpha1.ConditionReady, metav1.ConditionTrue, "Ready", ""),
			}}}
	}
	node := func(name string, conditions ...corev1.NodeCondition) corev1.Node {
		return corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{Conditions: conditions}}
	}
	link := func(remote string, state v1alpha1.LinkState) v1alpha1.Link {
		return v1alpha1.Link{RemoteGateway: remote, State: state}
	}
	return Snapshot{
		Context: "admin@east",
		ClusterSet: &v1alpha1.ClusterSet{ObjectMeta: metav1.ObjectMeta{Name: "default"},
			Spec: v1alpha1.ClusterSetSpec{ClusterSetID: "demo", ClusterID: "east"},
			Status: v1alpha1.ClusterSetStatus{Index: 1, CIDRs: []v1alpha1.CIDR{"10.1.0.0/16"}, Conditions: []metav1.Condition{
				condition(v1alpha1.ConditionAccepted, metav1.ConditionTrue, "Accepted", ""),
				condition(v1alpha1.ConditionHubConnected, metav1.ConditionTrue, "Connected", ""),
				condition(v1alpha1.ConditionDNSReady, metav1.ConditionFalse, "Manual", "add this to the Corefile"),
			}}},
		OperatorReplicas: Replicas{Wanted: 2, Ready: 1},
		GatewayNodes:     []v1alpha1.GatewayNode{gateway("east-2", metav1.ConditionFalse, 1), gateway("east-1", metav1.ConditionTrue, 0)},
		Nodes:            []corev1.Node{node("east-1", corev1.NodeCondition{Type: v1alpha1.NodeConditionDataplane, Status: corev1.ConditionTrue}), node("east-2")},
		RemoteClusters: []v1alpha1.RemoteCluster{{ObjectMeta: metav1.ObjectMeta{Name: "west"},
			Spec: v1alpha1.RemoteClusterSpec{Index: 2, CIDRs: []v1alpha1.CIDR{"10.2.0.0/16"}},
			Status: v1alpha1.RemoteClusterStatus{RTTMilliseconds: 3, LossPercent: ptr.To(int32(0)), Links: []v1alpha1.GatewayLinks{
				{Gateway: "east-2", Links: []v1alpha1.Link{link("west-1", v1alpha1.LinkUp)}},
				{Gateway: "east-1", Links: []v1alpha1.Link{link("west-2", v1alpha1.LinkDown), link("west-1", v1alpha1.LinkUp),
					{RemoteGateway: "west-3", State: v1alpha1.LinkUp, Flapping: true, Message: "it goes down again and again"}}},
			}, Conditions: []metav1.Condition{condition(v1alpha1.ConditionContentAccepted, metav1.ConditionFalse, "Skipped", "one export is skipped")}}}},
		Exports: []mcsv1beta1.ServiceExport{
			{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"}, Status: mcsv1beta1.ServiceExportStatus{Conditions: []metav1.Condition{
				condition("Valid", metav1.ConditionTrue, "Valid", ""), condition("Ready", metav1.ConditionTrue, "Exported", ""),
				condition("Conflict", metav1.ConditionTrue, "PortConflict", "port 80 differs")}}},
			{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "old"}, Status: mcsv1beta1.ServiceExportStatus{Conditions: []metav1.Condition{
				condition("Valid", metav1.ConditionFalse, "NoService", "there is no Service shop/old"), condition("Ready", metav1.ConditionFalse, "Failed", "not valid")}}},
		},
		Imports: []mcsv1beta1.ServiceImport{{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", Labels: map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}},
			Spec: mcsv1beta1.ServiceImportSpec{Type: mcsv1beta1.ClusterSetIP, IPs: []string{"244.0.0.9"},
				Ports: []mcsv1beta1.ServicePort{{Name: "http", Port: 80}, {Port: 53, Protocol: corev1.ProtocolUDP}}},
			Status: mcsv1beta1.ServiceImportStatus{Clusters: []mcsv1beta1.ClusterStatus{{Cluster: "east"}, {Cluster: "west"}}},
		}, {
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "idle", Labels: map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}},
			Spec:       mcsv1beta1.ServiceImportSpec{Type: mcsv1beta1.Headless},
			Status:     mcsv1beta1.ServiceImportStatus{Clusters: []mcsv1beta1.ClusterStatus{{Cluster: "west"}}},
		}},
		ExportPolicies: []v1alpha1.ExportPolicy{{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "p"},
			Spec:   v1alpha1.ExportPolicySpec{TargetRef: v1alpha1.ExportPolicyTarget{Name: "web"}},
			Status: v1alpha1.ExportPolicyStatus{Clusters: []string{"west"}}}},
		TrafficPolicies: []v1alpha1.TrafficPolicy{{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "t"},
			Spec: v1alpha1.TrafficPolicySpec{TargetRef: v1alpha1.TrafficPolicyTarget{Name: "web"}}}},
		ImportedSlices: []discoveryv1.EndpointSlice{
			slice(discoveryv1.AddressTypeIPv4, endpoint(nil), endpoint(ptr.To(false)), endpoint(ptr.To(true))),
			slice(discoveryv1.AddressTypeIPv6, endpoint(nil), endpoint(ptr.To(false)), endpoint(ptr.To(true))),
		},
	}
}

func TestOf(t *testing.T) {
	tests := []struct {
		name string
		in   []Snapshot
	}{
		{"east", []Snapshot{east()}},
		{"behind", []Snapshot{{Context: "old", Behind: "connection refused", ClusterSet: east().ClusterSet, OperatorReplicas: Replicas{Wanted: 1, Ready: 1}}}},
		{"none", nil},
		{"hub", []Snapshot{{Context: "hub", Hubs: []HubSnapshot{hub()}}}},
		{"strangers", []Snapshot{{Context: "away", Unreadable: "reading ClusterSets: connection refused"}, {Context: "alone"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := json.MarshalIndent(Of(tt.in), "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join("testdata", tt.name+".json")
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestOrder has the objects of a cluster in the other order, which must not matter.
func TestOrder(t *testing.T) {
	other := east()
	slices.Reverse(other.GatewayNodes)
	slices.Reverse(other.RemoteClusters[0].Status.Links)
	slices.Reverse(other.ImportedSlices)
	got, want := Of([]Snapshot{other}), Of([]Snapshot{east()})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
