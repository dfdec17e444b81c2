package explain

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
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

// Inside the client's pod less arrives than on its node.
func TestInPod(t *testing.T) {
	inPod := func(o Outcome) *Told {
		return &Told{Reply: Reply{Connected: []Connected{{To: server, Outcome: o}, {To: "244.0.0.9:80", Outcome: o}},
			DNS: []DNSReply{{Type: "A", Code: "NOERROR", Addresses: []netip.Addr{netip.MustParseAddr("244.0.0.9")}}}}}
	}
	noDNS := inPod(Open)
	noDNS.DNS = []DNSReply{{Type: "A", Code: "NXDOMAIN"}}
	for _, tt := range []struct {
		name        string
		told        *Told
		cause, says string
	}{
		{name: "all arrives", told: inPod(Open), says: "the pod itself connects to " + server},
		{name: "nothing does", told: inPod(TimedOut), cause: "endpoint west pod shop/client", says: "its node connects to " + server + " (timeout), 244.0.0.9:80 (timeout)"},
		{name: "its DNS", told: noDNS, cause: "dns west DNS server of pod shop/client, web.shop.svc.clusterset.local", says: "NXDOMAIN"},
		{name: "not asked", told: &Told{Unasked: "the pod has ended"}, says: "nothing could be tried inside the pod: the pod has ended"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := attempts(Open, "", "", "")
			f.Client.Told = tt.told
			is(t, Of(f), tt.cause, tt.says)
		})
	}
}

func TestEnded(t *testing.T) {
	f := healthy()
	f.Clusters[0].Told = nil
	if f.Ended() {
		t.Error("a name that works has ended before it was asked for")
	}
	f.Clusters[1].Exports, f.Clusters[0].Imports = nil, nil
	if !f.Ended() {
		t.Error("a name that nobody exports has not ended")
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
	endpoint := netip.MustParseAddr("10.1.0.5")
	want := Question{Connect: []string{server, "244.0.0.9:80"}, Full: []netip.Addr{endpoint}}
	if diff := cmp.Diff(want, f.Attempts(), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Errorf("tries (-want +got):\n%s", diff)
	}
	got := f.Retry()
	if len(got["west"]["west-1"].Connect) != 1 || len(got["east"]["east-1"].Full) != 1 || len(got["east"]["east-2"].Connect) != 1 || len(got["west"]) != 1 {
		t.Errorf("asks %v", got)
	}
	if f := attempts(Open, "", "", ""); len(f.Retry()) != 0 {
		t.Errorf("asks %v though the endpoint is open", f.Retry())
	}
	f.Clusters[0].Imports[0].Spec.Type = "Headless"
	tell(&f.Clusters[0], func(t *Told) { t.Decision = nil })
	if got := f.Attempts().Connect; !slices.Equal(got, []string{server}) {
		t.Errorf("of a headless name: connects to %q", got)
	}
	tell(&f.Clusters[0], func(t *Told) { t.Connected[0].Outcome, t.Full = Open, []Full{{To: endpoint, Outcome: TimedOut}} })
	if got := f.Retry()["east"]["east-1"]; len(got.Full) != 1 {
		t.Errorf("asks %v though large packets are lost", got)
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
	if now := in(*w.client.Planned(w.Name.Key(), w.Client.Node, "", w.Now)); !slices.Equal(now, []string{"10.1.0.5", "10.3.0.5"}) {
		t.Errorf("now flows go to %q", now)
	}
	for id, known := range map[v1alpha1.ClusterID]bool{"east": true, "west": false, "south": false} {
		if err := west.Knows(id); (err == nil) != known {
			t.Errorf("%s: %v", id, err)
		}
	}
}

// Large packets are lost, small ones arrive.
func TestTooLarge(t *testing.T) {
	for _, tt := range []struct {
		name               string
		gateway, far, home Outcome
		cause, says        string
	}{
		{name: "between the clusters", gateway: TimedOut, far: Open, home: Open, cause: "link west RemoteCluster east", says: "packets of 1370 bytes to 10.1.0.5 are lost between the gateways of clusters west and east"},
		{name: "nobody else knows", cause: "link west RemoteCluster east"},
		{name: "before the gateway", gateway: Open, far: Open, home: Open, cause: "gateway west between node west-2 and gateway west-1", says: "VXLAN"},
		{name: "behind the other gateway", gateway: TimedOut, far: TimedOut, home: Open, cause: "endpoint east endpoint " + server, says: "inside cluster east"},
		{name: "at the pod", gateway: TimedOut, far: TimedOut, home: TimedOut, cause: "endpoint east endpoint " + server},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := attempts(Open, Open, Open, Open)
			large := func(c *Cluster, node string, o Outcome) {
				told := c.Told[node]
				told.Full = []Full{{To: netip.MustParseAddr("10.1.0.5"), Bytes: 1370, Outcome: o}}
				c.Told[node] = told
			}
			large(&f.Clusters[0], "west-2", TimedOut)
			large(&f.Clusters[0], "west-1", tt.gateway)
			large(&f.Clusters[1], "east-1", tt.far)
			large(&f.Clusters[1], "east-2", tt.home)
			is(t, Of(f), tt.cause, tt.says)
		})
	}
}

// is fails unless that hop, and no other one, has failed.
func is(t *testing.T, a Answer, cause, says string) {
	t.Helper()
	got := ""
	if c := a.Cause; c != nil {
		got = c.Name + " " + string(c.Cluster) + " " + c.Looked
	}
	said := ""
	for _, h := range a.Hops {
		said += h.Message + "\n"
		if h.State == Failed && h != *a.Cause {
			t.Errorf("has failed, too: %+v", h)
		}
	}
	if got != cause || !strings.Contains(said, says) {
		t.Errorf("cause %q, want %q; %q is wanted in %s", got, cause, says, said)
	}
}

// An endpoint of UDP need not answer.
func TestUDP(t *testing.T) {
	admits := deny(networkingv1.NetworkPolicyIngressRule{From: []networkingv1.NetworkPolicyPeer{block("10.2.0.0/16")}})
	for _, tt := range []struct {
		name        string
		tcp, udp    Outcome
		policies    []networkingv1.NetworkPolicy
		state       State
		cause, says string
	}{
		{name: "silent", tcp: Refused, udp: TimedOut, state: Good, says: "the pod refuses TCP at this port, and did not refuse an empty datagram"},
		{name: "it answers", tcp: TimedOut, udp: Open, state: Good, says: "answers an empty datagram"},
		{name: "nothing listens", tcp: Refused, udp: Refused, state: Failed, cause: "endpoint east endpoint " + server, says: "of UDP"},
		{name: "nothing comes back", tcp: TimedOut, udp: TimedOut, state: Failed, cause: "endpoint east endpoint " + server, says: "node west-2 gets no answer"},
		{name: "nothing comes back, which may be meant", tcp: TimedOut, udp: TimedOut, policies: []networkingv1.NetworkPolicy{admits}, state: Unknown, says: "a NetworkPolicy admits its port"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := attempts(tt.tcp, "", "", "")
			tell(&f.Clusters[0], func(t *Told) {
				t.Decision.Ports[0].Protocol = corev1.ProtocolUDP
				t.Sent = []Connected{{To: server, Outcome: tt.udp}}
			})
			f.Clusters[1].NetworkPolicies = tt.policies
			got := Of(f)
			is(t, got, tt.cause, tt.says)
			if last := got.Hops[len(got.Hops)-1]; last.State != tt.state {
				t.Errorf("the endpoint is %+v, want %s", last, tt.state)
			}
			if q := f.Attempts(); !slices.Equal(q.Datagrams, []string{server}) {
				t.Errorf("sends datagrams to %q", q.Datagrams)
			}
		})
	}
}
