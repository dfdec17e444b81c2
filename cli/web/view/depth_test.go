package view

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/topology"
)

// west imports shop/web from itself, east and north: two thirds of the flows go to east, as the policy
// asks, and north stands by.
func west() topology.Snapshot {
	s := topology.Snapshot{Context: "west", OperatorReplicas: topology.Replicas{Wanted: 1, Ready: 1},
		ClusterSet: &v1alpha1.ClusterSet{Spec: v1alpha1.ClusterSetSpec{ClusterSetID: "demo", ClusterID: "west", VIPCIDRs: []v1alpha1.CIDR{"244.0.0.0/16"}},
			Status: v1alpha1.ClusterSetStatus{CIDRs: []v1alpha1.CIDR{"10.2.0.0/16"}}},
		GatewayNodes: []v1alpha1.GatewayNode{{ObjectMeta: metav1.ObjectMeta{Name: "west-1"}}},
		Nodes: []corev1.Node{{ObjectMeta: metav1.ObjectMeta{Name: "west-1", Labels: map[string]string{v1alpha1.LabelGateway: "true"}}},
			{ObjectMeta: metav1.ObjectMeta{Name: "west-2", Labels: map[string]string{corev1.LabelTopologyZone: "b"}}}},
		TrafficPolicies: []v1alpha1.TrafficPolicy{{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "p"}, Spec: v1alpha1.TrafficPolicySpec{
			TargetRef: v1alpha1.TrafficPolicyTarget{Group: mcsv1beta1.GroupName, Kind: "ServiceImport", Name: "web"},
			Failover:  []v1alpha1.FailoverStep{{Clusters: []v1alpha1.ClusterID{"east", "west"}}, {Clusters: []v1alpha1.ClusterID{"north"}}},
			Weights:   []v1alpha1.ClusterWeight{{Cluster: "east", Weight: 2}, {Cluster: "west", Weight: 1}, {Cluster: "north", Weight: 1}}}}},
		Imports: []mcsv1beta1.ServiceImport{{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "import", Labels: map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}},
			Spec: mcsv1beta1.ServiceImportSpec{Type: mcsv1beta1.ClusterSetIP, IPs: []string{"244.0.0.9"}, Ports: []mcsv1beta1.ServicePort{{Name: "http", Port: 80, Protocol: corev1.ProtocolTCP}}}}},
	}
	for i, id := range []string{"east", "west", "north"} {
		if id != "west" {
			s.RemoteClusters = append(s.RemoteClusters, v1alpha1.RemoteCluster{ObjectMeta: metav1.ObjectMeta{Name: id}, Spec: v1alpha1.RemoteClusterSpec{CIDRs: []v1alpha1.CIDR{v1alpha1.CIDR([]string{"10.1.0.0/16", "", "10.3.0.0/16"}[i])}},
				Status: v1alpha1.RemoteClusterStatus{Links: []v1alpha1.GatewayLinks{{Gateway: "west-1", Links: []v1alpha1.Link{{RemoteGateway: id + "-1", State: v1alpha1.LinkUp}}}}}})
		}
		s.ImportedSlices = append(s.ImportedSlices, discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: id, OwnerReferences: []metav1.OwnerReference{{UID: "import"}},
			Labels: map[string]string{v1alpha1.LabelServiceName: "web", v1alpha1.LabelSourceCluster: id, discoveryv1.LabelManagedBy: v1alpha1.ManagedBy}}, AddressType: discoveryv1.AddressTypeIPv4,
			Ports:     []discoveryv1.EndpointPort{{Name: ptr.To("http"), Port: ptr.To(int32(8080)), Protocol: ptr.To(corev1.ProtocolTCP)}},
			Endpoints: []discoveryv1.Endpoint{{Addresses: []string{[]string{"10.1.0.5", "10.2.0.5", "10.3.0.5"}[i]}, Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(true)}}}})
	}
	return s
}

func TestDepth(t *testing.T) {
	tests := []struct {
		name         string
		edit         func(*topology.Snapshot)
		down         v1alpha1.ClusterID
		now, without []Share
	}{
		{"as it is", func(*topology.Snapshot) {}, "", []Share{{"east", 66.7}, {"west", 33.3}}, nil},
		{"east goes", func(*topology.Snapshot) {}, "east", []Share{{"east", 66.7}, {"west", 33.3}}, []Share{{"west", 100}}},
		{"east goes, and west has nothing", func(s *topology.Snapshot) { s.ImportedSlices[1].Endpoints = nil }, "east", []Share{{"east", 100}}, []Share{{"north", 100}}},
		{"nothing is ready", func(s *topology.Snapshot) {
			for i := range s.ImportedSlices {
				s.ImportedSlices[i].Endpoints[0].Conditions.Ready = ptr.To(false)
			}
		}, "", []Share{}, nil},
	}
	name := types.NamespacedName{Namespace: "shop", Name: "web"}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := west()
			tt.edit(&s)
			all := []topology.Snapshot{s}
			d := DepthOf(all, topology.Of(all), name, tt.down, time.Now())
			if d == nil || len(d.Flows) != 1 || len(d.Flows[0].Ports) != 1 {
				t.Fatalf("got %+v", d)
			}
			f := d.Flows[0]
			if f.From != "west" || f.Node != "west-2" || f.Zone != "b" || f.Policy == nil || len(f.Ports[0].Levels) == 0 {
				t.Errorf("got %+v", f)
			}
			if diff := cmp.Diff(tt.now, f.Ports[0].Shares); diff != "" {
				t.Errorf("now (-want +got):\n%s", diff)
			}
			if tt.without == nil {
				return
			}
			if diff := cmp.Diff(tt.without, d.Without[0].Ports[0].Shares); diff != "" {
				t.Errorf("without %s (-want +got):\n%s", tt.down, diff)
			}
		})
	}
	all := []topology.Snapshot{west()}
	if d := DepthOf(all, topology.Of(all), types.NamespacedName{Namespace: "shop", Name: "none"}, "", time.Now()); d != nil {
		t.Errorf("of a Service that is not there: %+v", d)
	}
	if d := DepthOf(all, topology.Of(all), name, "west", time.Now()); len(d.Without) != 0 {
		t.Errorf("the cluster that goes has flows: %+v", d.Without)
	}
}
