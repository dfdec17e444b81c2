package explain

import (
	"slices"
	"strings"
	"testing"

	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/utils/ptr"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

const server = "10.1.0.5:8080"

// attempts is the healthy scene in which nodes have connected to the endpoint, with these outcomes: of the
// client's node, its gateway, the other gateway, and the endpoint's own node. Empty: it was not asked.
func attempts(client, gateway, far, home Outcome) Facts {
	f := healthy()
	west, east := &f.Clusters[0], &f.Clusters[1]
	told := func(o Outcome) Told { return Told{Reply: Reply{Connected: []Connected{{To: server, Outcome: o}}}} }
	tell(west, func(t *Told) {
		t.Connected = []Connected{{To: server, Outcome: client}, {To: "244.0.0.9:80", Outcome: client}}
	})
	east.Told = map[string]Told{}
	if gateway != "" {
		west.Told["west-1"] = told(gateway)
	}
	if far != "" {
		east.Told["east-1"] = told(far)
	}
	if home != "" {
		east.Told["east-2"] = told(home)
	}
	east.Slices[0].Endpoints[0].NodeName = ptr.To("east-2")
	return f
}

// deny is a policy for the endpoint's pod that admits this.
func deny(rules ...networkingv1.NetworkPolicyIngressRule) networkingv1.NetworkPolicy {
	return networkingv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "deny"},
		Spec: networkingv1.NetworkPolicySpec{PodSelector: metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}, Ingress: rules}}
}

func block(cidr string, except ...string) networkingv1.NetworkPolicyPeer {
	return networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: cidr, Except: except}}
}

func TestLost(t *testing.T) {
	pods := networkingv1.NetworkPolicyPeer{PodSelector: &metav1.LabelSelector{}}
	port := []networkingv1.NetworkPolicyPort{{Port: ptr.To(intstr.FromInt32(9090))}}
	tests := []struct {
		name                       string
		client, gateway, far, home Outcome
		policies                   []networkingv1.NetworkPolicy
		cause, says                string
	}{
		{name: "nothing", client: Open},
		{name: "nothing listens", client: Refused, cause: "endpoint east endpoint " + server, says: "the pod refuses"},
		{name: "own gateway", client: TimedOut, gateway: Open, far: Open, home: Open, cause: "gateway west between node west-2 and gateway west-1", says: "iptables -S FORWARD"},
		{name: "other gateway", client: TimedOut, gateway: TimedOut, far: Open, home: Open, cause: "filter east gateway east-1", says: "what comes through the tunnel is lost"},
		{name: "inside the other cluster", client: TimedOut, gateway: TimedOut, far: TimedOut, home: Open, cause: "endpoint east endpoint " + server, says: "only its own node east-2 connects"},
		{name: "the pod", client: TimedOut, gateway: TimedOut, far: TimedOut, home: TimedOut, cause: "endpoint east endpoint " + server, says: "node east-2 of its own cluster does not get an answer either"},
		{name: "nobody else was asked", client: TimedOut, cause: "endpoint east endpoint " + server, says: "--contexts"},
		{name: "a policy", client: TimedOut, policies: []networkingv1.NetworkPolicy{deny()}, cause: "endpoint east NetworkPolicy shop/deny", says: "does not admit [10.2.0.7]"},
		{name: "a policy for pods of its cluster", client: TimedOut, policies: []networkingv1.NetworkPolicy{deny(networkingv1.NetworkPolicyIngressRule{From: []networkingv1.NetworkPolicyPeer{pods}})},
			cause: "endpoint east NetworkPolicy shop/deny", says: "ipBlock"},
		{name: "a policy for others", client: TimedOut, policies: []networkingv1.NetworkPolicy{deny(networkingv1.NetworkPolicyIngressRule{From: []networkingv1.NetworkPolicyPeer{block("10.2.0.0/16", "10.2.0.0/24")}})},
			cause: "endpoint east NetworkPolicy shop/deny"},
		{name: "a policy for another port", client: TimedOut, policies: []networkingv1.NetworkPolicy{deny(networkingv1.NetworkPolicyIngressRule{Ports: port})},
			cause: "endpoint east NetworkPolicy shop/deny"},
		{name: "a policy that admits", client: TimedOut, far: Open, policies: []networkingv1.NetworkPolicy{deny(), deny(networkingv1.NetworkPolicyIngressRule{From: []networkingv1.NetworkPolicyPeer{block("10.2.0.0/16")}})},
			cause: "filter east gateway east-1"},
		{name: "a policy, and no trouble", client: Open, policies: []networkingv1.NetworkPolicy{deny()}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := attempts(tt.client, tt.gateway, tt.far, tt.home)
			f.Clusters[1].NetworkPolicies = tt.policies
			got := Of(f)
			cause, says := "", ""
			if c := got.Cause; c != nil {
				cause, says = c.Name+" "+string(c.Cluster)+" "+c.Looked, c.Message
			}
			if cause != tt.cause || !strings.Contains(says, tt.says) {
				t.Errorf("cause %q: %q, want %q: %q", cause, says, tt.cause, tt.says)
			}
			if failed := len(slices.DeleteFunc(slices.Clone(got.Hops), func(h Hop) bool { return h.State != Failed })); failed != min(1, len(tt.cause)) {
				t.Errorf("%d hops have failed: %+v", failed, got.Hops)
			}
		})
	}
}

// The node connects to the endpoint and not to the clusterset IP.
func TestNotServed(t *testing.T) {
	f := attempts(Open, "", "", "")
	tell(&f.Clusters[0], func(t *Told) { t.Connected[1].Outcome = Refused })
	if got := Of(f).Cause; got == nil || got.Looked != "Node west-2, 244.0.0.9:80" {
		t.Errorf("cause %+v", got)
	}
}

func TestQuestions(t *testing.T) {
	f := attempts(TimedOut, "", "", "")
	if got, want := f.Connect(), []string{server, "244.0.0.9:80"}; !slices.Equal(got, want) {
		t.Errorf("connects to %q, want %q", got, want)
	}
	got := f.Retry()
	if len(got["west"]["west-1"]) != 1 || len(got["east"]["east-1"]) != 1 || len(got["east"]["east-2"]) != 1 || len(got["west"]) != 1 {
		t.Errorf("asks %v", got)
	}
	if f := attempts(Open, "", "", ""); len(f.Retry()) != 0 {
		t.Errorf("asks %v though the endpoint is open", f.Retry())
	}
	f.Clusters[0].Imports[0].Spec.Type = "Headless"
	tell(&f.Clusters[0], func(t *Told) { t.Decision = nil })
	if got := f.Connect(); !slices.Equal(got, []string{server}) {
		t.Errorf("of a headless name: connects to %q", got)
	}
}

// If east is down, flows go to north; now they go to both.
func TestIfDown(t *testing.T) {
	f := healthy()
	west := &f.Clusters[0]
	north := west.ImportedSlices[0].DeepCopy()
	north.Name, north.Labels[v1alpha1.LabelSourceCluster] = "north.1.0", "north"
	north.Endpoints[0] = discoveryv1.Endpoint{Addresses: []string{"10.3.0.5"}}
	west.ImportedSlices = append(west.ImportedSlices, *north)
	remote := *west.RemoteClusters[0].DeepCopy()
	remote.Name, remote.Spec.CIDRs = "north", []v1alpha1.CIDR{"10.3.0.0/16"}
	west.RemoteClusters = append(west.RemoteClusters, remote)
	f.IfDown = "east"

	in := func(d Decision) (all []string) {
		for _, e := range d.Ports[0].Endpoints {
			if e.Weight > 0 {
				all = append(all, e.Address.String())
			}
		}
		return all
	}
	got := Of(f)
	if got.IfDown == nil || !slices.Equal(in(got.IfDown.Decision), []string{"10.3.0.5"}) {
		t.Fatalf("if east is down: %+v", got.IfDown)
	}
	if why := got.IfDown.Decision.Ports[0].Endpoints[0].Why; !strings.Contains(why, "nothing leads to cluster east") {
		t.Errorf("10.1.0.5 is out since %q", why)
	}
	w := newWalk(&f)
	if now := in(*w.planned("")); !slices.Equal(now, []string{"10.1.0.5", "10.3.0.5"}) {
		t.Errorf("now flows go to %q", now)
	}
	for id, known := range map[v1alpha1.ClusterID]bool{"east": true, "west": false, "south": false} {
		if err := west.Knows(id); (err == nil) != known {
			t.Errorf("%s: %v", id, err)
		}
	}
}
