package explain

import (
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/dataplane/plan"
)

// fault is something that is wrong, and how it shows.
type fault struct {
	name   string
	edit   func(f *Facts, west, east *Cluster)
	cause  string // hop, cluster and what was looked at; empty: nothing has failed
	says   string // a part of the message of the cause or, without one, of a warning
	others int    // warnings beside it
}

func set(c *Cluster, kind string, status metav1.ConditionStatus, reason, message string) {
	for i := range c.ClusterSet.Status.Conditions {
		if c.ClusterSet.Status.Conditions[i].Type == kind {
			c.ClusterSet.Status.Conditions[i] = condition(kind, status, reason, message)
		}
	}
}

// tell changes what the agent of the client's node answers.
func tell(west *Cluster, change func(*Told)) {
	told := west.Told["west-2"]
	change(&told)
	west.Told["west-2"] = told
}

var unready = condition("Ready", metav1.ConditionFalse, "x", "the hub refuses it: ask its admin")

func faults() []fault {
	return []fault{
		{name: "none", edit: func(*Facts, *Cluster, *Cluster) {}},
		{name: "nobody exports", edit: func(_ *Facts, west, east *Cluster) { east.Exports, west.Imports = nil, nil },
			cause: "export west ServiceExport shop/web", says: "kubectl tombolo export web -n shop"},
		{name: "nobody exports, as far as was asked", edit: func(f *Facts, west, _ *Cluster) { f.Clusters, west.Imports = f.Clusters[:1], nil },
			cause: "export west ServiceExport shop/web", says: "nothing is imported from east, which was not asked"},
		{name: "the export is refused", edit: func(_ *Facts, _, east *Cluster) { east.Exports[0].Status.Conditions[1] = unready },
			cause: "export east ServiceExport shop/web", says: "the hub refuses it: ask its admin"},
		{name: "conflict", edit: func(_ *Facts, _, east *Cluster) {
			east.Exports[0].Status.Conditions = append(east.Exports[0].Status.Conditions, condition("Conflict", metav1.ConditionTrue, "PortConflict", "port 80 differs"))
		}, says: "port 80 differs", others: 1},
		{name: "no endpoint is ready", edit: func(_ *Facts, _, east *Cluster) {
			east.Slices[0].Endpoints[0].Conditions.Ready = ptr.To(false)
			east.Pods[0].Status.ContainerStatuses = []corev1.ContainerStatus{{State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}}}
		}, cause: "endpoints east EndpointSlices of Service shop/web", says: "web-5 (CrashLoopBackOff)"},
		{name: "no pod", edit: func(_ *Facts, _, east *Cluster) { east.Slices[0].Endpoints, east.Pods = nil, nil },
			cause: "endpoints east EndpointSlices of Service shop/web", says: "no pod of namespace shop has the labels app=web"},
		{name: "wrong port name", edit: func(_ *Facts, _, east *Cluster) { east.Slices[0].Ports = nil },
			cause: "endpoints east EndpointSlices of Service shop/web", says: `port http targets "http"`},
		{name: "hub away, all is there", edit: func(_ *Facts, west, _ *Cluster) {
			set(west, v1alpha1.ConditionHubConnected, metav1.ConditionFalse, "Unreachable", "the hub does not answer")
		}, says: "the hub does not answer", others: 1},
		{name: "hub away before the import", edit: func(_ *Facts, west, _ *Cluster) {
			set(west, v1alpha1.ConditionHubConnected, metav1.ConditionFalse, "Unauthorized", "the hub refuses the token")
			west.Imports = nil
		}, cause: "hub west ClusterSet default", says: "the hub refuses the token"},
		{name: "operator away before the import", edit: func(_ *Facts, west, east *Cluster) { west.Imports, east.OperatorReplicas.Ready = nil, 0 },
			cause: "hub east Deployment tombolo-operator", says: "none of its 1 pods is ready"},
		{name: "namespace missing", edit: func(_ *Facts, west, _ *Cluster) { west.Imports, west.Namespace = nil, nil },
			cause: "import west Namespace shop", says: "kubectl create namespace shop"},
		{name: "namespace not selected", edit: func(_ *Facts, west, _ *Cluster) {
			west.Imports = nil
			west.ClusterSet.Spec.ImportNamespaces = &metav1.LabelSelector{MatchLabels: map[string]string{"import": "yes"}}
		}, cause: "import west Namespace shop", says: "importNamespaces"},
		{name: "not for this cluster", edit: func(_ *Facts, west, east *Cluster) {
			west.Imports = nil
			p := v1alpha1.ExportPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "p"}}
			p.Spec.TargetRef.Name, p.Spec.Clusters = "web", []v1alpha1.ClusterID{"north"}
			east.ExportPolicies = []v1alpha1.ExportPolicy{p}
		}, cause: "import west ExportPolicy shop/p", says: "name west in spec.clusters"},
		{name: "content refused", edit: func(_ *Facts, west, _ *Cluster) {
			west.Imports = nil
			west.RemoteClusters[0].Status.Conditions = append(west.RemoteClusters[0].Status.Conditions,
				condition(v1alpha1.ConditionContentAccepted, metav1.ConditionFalse, "Skipped", "shop/web lies outside"))
		}, cause: "import west RemoteCluster east", says: "shop/web lies outside"},
		{name: "someone else's import", edit: func(_ *Facts, west, _ *Cluster) { west.Imports[0].Labels = nil },
			cause: "import west ServiceImport shop/web", says: "tombolo did not make it"},
		{name: "address outside", edit: func(_ *Facts, west, _ *Cluster) { west.Imports[0].Spec.IPs[0] = "242.0.0.9" },
			cause: "clusterset-ip west ServiceImport shop/web", says: "242.0.0.9 lies outside"},
		{name: "DNS is not configured", edit: func(_ *Facts, west, _ *Cluster) {
			set(west, v1alpha1.ConditionDNSReady, metav1.ConditionFalse, "Manual", "add this to the Corefile")
			tell(west, func(t *Told) { t.DNS = []DNSReply{{Type: "A", Code: "NXDOMAIN"}, {Type: "AAAA", Code: "NXDOMAIN"}} })
		}, cause: "dns west ClusterSet default", says: "it answers NXDOMAIN to the question for A: add this to the Corefile"},
		{name: "DNS without rights", edit: func(_ *Facts, west, _ *Cluster) {
			tell(west, func(t *Told) { t.DNS = []DNSReply{{Type: "A", Code: "SERVFAIL"}} })
		}, cause: "dns west DNS server 10.0.0.10:53, web.shop.svc.clusterset.local", says: "it answers SERVFAIL"},
		{name: "DNS is silent", edit: func(_ *Facts, west, _ *Cluster) {
			tell(west, func(t *Told) { t.DNS = []DNSReply{{Type: "A", Error: "i/o timeout"}} })
		}, cause: "dns west DNS server 10.0.0.10:53, web.shop.svc.clusterset.local", says: "i/o timeout"},
		{name: "DNS is by hand", edit: func(_ *Facts, west, _ *Cluster) {
			set(west, v1alpha1.ConditionDNSReady, metav1.ConditionFalse, "Manual", "add this to the Corefile")
		}, says: "add this to the Corefile", others: 1},
		{name: "agent down", edit: func(_ *Facts, west, _ *Cluster) { west.Told["west-2"] = Told{Away: "no pod"} },
			cause: "node west agent on node west-2", says: "no pod: what the kernel has goes on"},
		{name: "kube-proxy in the way", edit: func(_ *Facts, west, _ *Cluster) {
			west.Nodes[0].Status.Conditions[0] = corev1.NodeCondition{Type: v1alpha1.NodeConditionDataplane, Status: corev1.ConditionFalse, Reason: "KubeProxyConflict", Message: "add it to excludeCIDRs"}
		}, cause: "node west Node west-2", says: "(KubeProxyConflict): add it to excludeCIDRs"},
		{name: "refused", edit: func(_ *Facts, west, _ *Cluster) {
			tell(west, func(t *Told) { t.Decision.Ports[0].Outcome = "refused: there is no endpoint with this port" })
		}, cause: "node west Node west-2, 244.0.0.9:80/TCP", says: "there is no endpoint with this port"},
		{name: "gateway dead", edit: func(_ *Facts, west, _ *Cluster) {
			west.GatewayNodes[0].Status.Conditions[0] = condition(v1alpha1.ConditionAlive, metav1.ConditionFalse, "NoHeartbeat", "is the node up?")
		}, cause: "gateway west GatewayNode tombolo-system/west-1", says: "is the node up?"},
		{name: "a gateway does not answer the node", edit: func(_ *Facts, west, _ *Cluster) {
			tell(west, func(t *Told) { t.Gateways[0].Answers = "dead" })
			west.Nodes[0].Status.Conditions[0] = corev1.NodeCondition{Type: v1alpha1.NodeConditionDataplane, Status: corev1.ConditionFalse, Reason: "NoLiveGateway"}
		}, cause: "gateway west GatewayNode tombolo-system/west-1", says: "UDP 7473"},
		{name: "one of two gateways does not answer the node", edit: func(_ *Facts, west, _ *Cluster) {
			second := *west.GatewayNodes[0].DeepCopy()
			second.Name = "west-3"
			west.GatewayNodes = append(west.GatewayNodes, second)
			tell(west, func(t *Told) {
				t.Gateways = append(t.Gateways, plan.ExplainedGateway{Name: "west-3", Answers: "dead"})
			})
		}, says: "it does not answer node west-2", others: 1},
		{name: "an older agent without a gateway", edit: func(_ *Facts, west, _ *Cluster) {
			tell(west, func(t *Told) { t.Gateways = nil })
			west.Nodes[0].Status.Conditions[0] = corev1.NodeCondition{Type: v1alpha1.NodeConditionDataplane, Status: corev1.ConditionFalse, Reason: "NoLiveGateway", Message: "west-1"}
		}, cause: "gateway west Node west-2", says: "(NoLiveGateway): west-1"},
		{name: "no IPv6", edit: func(_ *Facts, west, _ *Cluster) {
			west.Imports[0].Spec.IPs = append(west.Imports[0].Spec.IPs, "fd00::9")
			tell(west, func(t *Told) {
				t.NoIPv6 = "disable_ipv6 is 1"
				t.DNS[1].Addresses = []netip.Addr{netip.MustParseAddr("fd00::9")}
			})
			west.ClusterSet.Spec.VIPCIDRs = append(west.ClusterSet.Spec.VIPCIDRs, "fd00::/112")
			west.ClusterSet.Status.CIDRs = append(west.ClusterSet.Status.CIDRs, "fd00:10:2::/48")
		}, says: "it does not serve fd00::9, since it has no IPv6: disable_ipv6 is 1", others: 1},
		{name: "a Service wants the clusterset IP", edit: func(_ *Facts, west, _ *Cluster) {
			west.Claims = []Claim{{Service: "shop/other", Field: "spec.externalIPs", Address: netip.MustParseAddr("244.0.0.9")}}
		}, cause: "clusterset-ip west Service shop/other", says: "spec.externalIPs"},
		{name: "no link", edit: func(_ *Facts, west, _ *Cluster) {
			west.RemoteClusters[0].Status.Links[0].Links[0].State = v1alpha1.LinkDown
			west.RemoteClusters[0].Status.Conditions[0] = condition(v1alpha1.ConditionReachable, metav1.ConditionFalse, "NoLink", "is UDP 51820 open?")
		}, cause: "link west RemoteCluster east", says: "is UDP 51820 open?"},
		{name: "CIDRs too small", edit: func(_ *Facts, _, east *Cluster) { east.RemoteClusters[0].Spec.CIDRs[0] = "10.2.8.0/24" },
			cause: "filter east RemoteCluster west", says: "10.2.0.7, which lies outside"},
	}
}

func TestOf(t *testing.T) {
	for _, tt := range faults() {
		t.Run(tt.name, func(t *testing.T) {
			f := healthy()
			tt.edit(&f, &f.Clusters[0], &f.Clusters[min(1, len(f.Clusters)-1)])
			got := Of(f)
			cause := ""
			if got.Cause != nil {
				cause = got.Cause.Name + " " + string(got.Cause.Cluster) + " " + got.Cause.Looked
			}
			if cause != tt.cause {
				t.Errorf("cause %q, want %q", cause, tt.cause)
			}
			warnings := slices.DeleteFunc(slices.Clone(got.Hops), func(h Hop) bool { return h.State != Warning })
			said := ""
			for _, h := range append(warnings, ptr.Deref(got.Cause, Hop{})) {
				said += h.Message + "\n"
			}
			if len(warnings) != tt.others || !strings.Contains(said, tt.says) {
				t.Errorf("%d warnings, want %d; %q is wanted in %q", len(warnings), tt.others, tt.says, said)
			}
			failed := slices.IndexFunc(got.Hops, func(h Hop) bool { return h.State == Failed })
			for i, h := range got.Hops {
				if failed >= 0 && i > failed && h.Name != got.Cause.Name && h.State != NotLookedAt || failed < 0 && h.State == NotLookedAt {
					t.Errorf("hop %+v after one that failed", h)
				}
			}
		})
	}
}

// An agent that the user may not ask is not a fault: the objects tell where flows go.
func TestUnasked(t *testing.T) {
	f := healthy()
	f.Clusters[0].Told["west-2"] = Told{Unasked: "pods/exec is forbidden"}
	got := Of(f)
	if got.Cause != nil || got.Decision == nil || len(got.Decision.Ports) != 1 || got.Decision.Ports[0].Endpoints[0].Weight == 0 {
		t.Errorf("cause %+v, decision %+v", got.Cause, got.Decision)
	}
	unknown := slices.DeleteFunc(slices.Clone(got.Hops), func(h Hop) bool { return h.State != Unknown })
	if len(unknown) != 3 || unknown[0].Name != "dns" || !strings.Contains(unknown[1].Message, "pods/exec is forbidden") {
		t.Errorf("not known: %+v", unknown)
	}
}

// TestPage: docs/plugin.md explains each hop.
func TestPage(t *testing.T) {
	page, err := os.ReadFile("../../docs/plugin.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range Of(healthy()).Hops {
		if !strings.Contains(string(page), "| `"+h.Name+"` |") {
			t.Errorf("docs/plugin.md has no row for hop %s", h.Name)
		}
	}
}
