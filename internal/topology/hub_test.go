package topology

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

var now = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func from(cluster, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: "tombolo-hub", Name: name, Labels: map[string]string{v1alpha1.LabelSourceCluster: cluster}}
}

func heartbeat(cluster string, ago time.Duration) coordinationv1.Lease {
	renewed := metav1.NewMicroTime(now.Add(-ago))
	return coordinationv1.Lease{ObjectMeta: from(cluster, cluster+".heartbeat"), Spec: coordinationv1.LeaseSpec{RenewTime: &renewed}}
}

func publishedBy(cluster v1alpha1.ClusterID, namespace, name string) v1alpha1.ExportedService {
	return v1alpha1.ExportedService{ObjectMeta: from(string(cluster), clusterset.HubName(cluster, namespace, name)),
		Spec: v1alpha1.ExportedServiceSpec{Namespace: namespace, Name: name, ExportedAt: metav1.NewTime(now), Type: mcsv1beta1.ClusterSetIP}}
}

// member is a Member that its cluster heard of a moment ago.
func member(name string, index int32) v1alpha1.Member {
	return v1alpha1.Member{ObjectMeta: metav1.ObjectMeta{Namespace: "tombolo-hub", Name: name},
		Spec: v1alpha1.MemberSpec{Index: index, CIDRs: []v1alpha1.CIDR{v1alpha1.CIDR(fmt.Sprintf("10.%d.0.0/16", index))}}}
}

// hub has a member that is well, and west, which has not joined yet.
func hub() HubSnapshot {
	return HubSnapshot{Namespace: "tombolo-hub", ClusterSet: "demo", Now: now, Members: []v1alpha1.Member{member("west", 2), member("east", 1)},
		Leases: []coordinationv1.Lease{heartbeat("east", 7*time.Second)}, Exports: []v1alpha1.ExportedService{publishedBy("east", "shop", "web")},
		Gateways: []v1alpha1.GatewayNode{{ObjectMeta: from("east", "east.1")}},
		Slices: []discoveryv1.EndpointSlice{{ObjectMeta: from("east", "east.x.0"), AddressType: discoveryv1.AddressTypeIPv4,
			Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"10.1.0.5"}}}}}}
}

func TestHubFindings(t *testing.T) {
	tests := []struct {
		name string
		edit func(*HubSnapshot)
		want []string // severity, member, and what the message has
	}{
		{"not joined", func(*HubSnapshot) {}, []string{"Warning west has never renewed"}},
		{"away", func(h *HubSnapshot) { h.Leases = append(h.Leases, heartbeat("west", time.Minute)) }, []string{"Error west has last renewed its Lease 1m0s ago"}},
		{"an address outside, and a namespace", func(h *HubSnapshot) {
			h.Leases = append(h.Leases, heartbeat("west", time.Second))
			h.Members[0].Spec.Namespaces = []v1alpha1.NamespacePattern{"shop"}
			h.Exports = append(h.Exports, publishedBy("west", "bank", "vault"))
			h.Slices = append(h.Slices, discoveryv1.EndpointSlice{ObjectMeta: from("west", "west.x.0"), AddressType: discoveryv1.AddressTypeIPv4,
				Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"10.9.0.5"}}}})
		}, []string{"Warning west Service bank/vault", "Warning west 10.9.0.5"}},
		{"too many", func(h *HubSnapshot) {
			h.Leases = append(h.Leases, heartbeat("west", time.Second))
			h.Members[1].Spec.Limits.Exports = 1
			h.Exports = append(h.Exports, publishedBy("east", "shop", "more"))
		}, []string{"Warning east 1 are beyond the 1 that are imported"}},
		{"removed, with a rest", func(h *HubSnapshot) { h.Members = h.Members[1:]; h.Members[0].Spec.Removed = true }, []string{"Warning east 3 objects of it are left"}},
		{"no Member", func(h *HubSnapshot) { h.Members = nil }, []string{"Warning east no such Member"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := hub()
			tt.edit(&h)
			var got []string
			for i, f := range Of([]Snapshot{{Context: "hub", Hubs: []HubSnapshot{h}}}).Findings {
				said := string(f.Severity) + " " + f.Name + " "
				if i < len(tt.want) && strings.HasPrefix(tt.want[i], said) && strings.Contains(f.Message, strings.TrimPrefix(tt.want[i], said)) {
					said = tt.want[i]
				} else {
					said += f.Message
				}
				got = append(got, said)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
