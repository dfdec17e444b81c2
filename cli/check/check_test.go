package check

import (
	"os"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/topology"
)

func node(name string) corev1.Node {
	n := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{v1alpha1.LabelGateway: "true"}}}
	n.Spec.PodCIDRs = []string{"10.1.0.0/24", "fd00:10:1::/64"}
	n.Status.NodeInfo.KernelVersion, n.Status.NodeInfo.OperatingSystem = "6.12.117", "linux"
	n.Status.Conditions = []corev1.NodeCondition{{Type: v1alpha1.NodeConditionDataplane, Status: corev1.ConditionTrue}}
	return n
}

// fit is a cluster that tombolo can be installed in.
func fit() facts {
	dns := &appsv1.Deployment{}
	dns.Spec.Template.Spec.Containers = []corev1.Container{{Image: "registry.example:5000/coredns/coredns:v1.12.2"}}
	return facts{version: "v1.36.3", mayInstall: true, coreDNS: dns,
		Snapshot: topology.Snapshot{Context: "east", Nodes: []corev1.Node{node("east-1"), node("east-2")}}}
}

// joined is a cluster in which it works.
func joined() facts {
	f := fit()
	f.ClusterSet = &v1alpha1.ClusterSet{ObjectMeta: metav1.ObjectMeta{Name: "default"},
		Spec:   v1alpha1.ClusterSetSpec{ClusterID: "east"},
		Status: v1alpha1.ClusterSetStatus{CIDRs: []v1alpha1.CIDR{"10.1.0.0/16", "fd00:10:1::/48"}}}
	f.OperatorReplicas = topology.Replicas{Wanted: 2, Ready: 2}
	return f
}

func TestRun(t *testing.T) {
	tests := []struct {
		name string
		in   func() facts
		want []string // the checks that are not good, with their level
	}{
		{"fit", fit, nil},
		{"joined", joined, nil},
		{"away", func() facts { f := fit(); f.Unreadable = "connection refused"; return f }, []string{"api-server error"}},
		{"old Kubernetes", func() facts { f := fit(); f.version = "v1.30.14+k3s1"; return f }, []string{"kubernetes-version error"}},
		{"old kernel", func() facts {
			f := fit()
			f.Nodes[0].Status.NodeInfo.KernelVersion = "4.18.0-553.el8_10.x86_64"
			return f
		}, []string{"kernel-version error"}},
		{"Windows", func() facts { f := fit(); f.Nodes[0].Status.NodeInfo.OperatingSystem = "windows"; return f }, []string{"operating-system warning"}},
		{"old CoreDNS", func() facts {
			f := fit()
			f.coreDNS.Spec.Template.Spec.Containers[0].Image = "coredns:1.11.1"
			return f
		}, []string{"coredns-version error"}},
		{"CoreDNS by digest", func() facts {
			f := fit()
			f.coreDNS.Spec.Template.Spec.Containers[0].Image = "coredns@sha256:abc"
			return f
		}, nil},
		{"no CoreDNS", func() facts { f := fit(); f.coreDNS = nil; return f }, []string{"coredns-version warning"}},
		{"no gateway yet", func() facts { f := fit(); f.Nodes[0].Labels, f.Nodes[1].Labels = nil, nil; return f }, nil},
		{"one gateway", func() facts { f := joined(); f.Nodes[0].Labels = nil; return f }, []string{"gateway-nodes warning"}},
		{"no gateway", func() facts { f := joined(); f.Nodes[0].Labels, f.Nodes[1].Labels = nil, nil; return f }, []string{"gateway-nodes error"}},
		{"pods outside", func() facts {
			f := joined()
			f.ClusterSet.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionAddressesApproved, Status: metav1.ConditionFalse}}
			return f
		}, []string{"pod-cidrs error"}},
		{"pods where we are", func() facts { f := fit(); f.Nodes[0].Spec.PodCIDRs[0] = "244.0.3.0/24"; return f }, []string{"pod-cidrs error"}},
		{"no rights", func() facts { f := fit(); f.mayInstall = false; return f }, []string{"rights error"}},
		{"a node that does not serve", func() facts { f := joined(); f.Nodes[0].Status.Conditions = nil; return f }, []string{"nodes error"}},
		{"no operator", func() facts { f := joined(); f.OperatorReplicas.Ready = 0; return f }, []string{"operator error"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, r := range run(tt.in()) {
				if r.Level != isGood {
					got = append(got, r.ID+" "+string(r.Level))
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestPage: docs/troubleshooting.md explains each check.
func TestPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	ids := []string{"api-server", "ports", "node-network", "gateway-network"}
	for _, f := range []facts{fit(), joined()} {
		for _, r := range run(f) {
			ids = append(ids, r.ID)
		}
	}
	for _, id := range ids {
		if !strings.Contains(string(page), "| `"+id+"` |") {
			t.Errorf("docs/troubleshooting.md has no row for check %s", id)
		}
	}
}
