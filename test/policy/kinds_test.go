//go:build integration

package policy

import (
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// key is the text form of 32 bytes.
const key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

func clusterSet(edit func(*v1alpha1.ClusterSet)) client.Object {
	set := &v1alpha1.ClusterSet{
		ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.ClusterSetName},
		Spec: v1alpha1.ClusterSetSpec{
			ClusterSetID: "demo",
			ClusterID:    "east",
			Hub: v1alpha1.HubAccess{
				Server:    "https://hub.example.com:6443",
				SecretRef: v1alpha1.SecretReference{Name: "tombolo-hub"},
			},
		},
	}
	edit(set)
	return set
}

func member(edit func(*v1alpha1.Member)) client.Object {
	m := &v1alpha1.Member{
		ObjectMeta: metav1.ObjectMeta{Name: "east", Namespace: metav1.NamespaceDefault},
		Spec:       v1alpha1.MemberSpec{Index: 1, CIDRs: []v1alpha1.CIDR{"10.1.0.0/16", "fd00:10:1::/48"}},
	}
	edit(m)
	return m
}

func gatewayNode(edit func(*v1alpha1.GatewayNode)) client.Object {
	g := &v1alpha1.GatewayNode{
		ObjectMeta: metav1.ObjectMeta{Name: "node-1.example.com", Namespace: metav1.NamespaceDefault},
		Spec: v1alpha1.GatewayNodeSpec{
			NodeName:          "node-1.example.com",
			PublicKey:         key,
			Endpoints:         []v1alpha1.Endpoint{{Address: "192.0.2.1", Port: 51820}, {Address: "2001:db8::1", Port: 51820}},
			TunnelAddresses:   []v1alpha1.IPAddress{"245.0.16.0"},
			UnderlayAddresses: []v1alpha1.IPAddress{"192.0.2.1"},
		},
	}
	edit(g)
	return g
}

func exportedService(edit func(*v1alpha1.ExportedService)) client.Object {
	e := &v1alpha1.ExportedService{
		ObjectMeta: metav1.ObjectMeta{Name: clusterset.HubName("east", "shop", "cart"), Namespace: metav1.NamespaceDefault},
		Spec: v1alpha1.ExportedServiceSpec{
			Namespace: "shop", Name: "cart", ExportedAt: metav1.Unix(1, 0), Type: mcsv1beta1.ClusterSetIP,
			Ports: []mcsv1beta1.ServicePort{{Name: "http", Protocol: "TCP", Port: 80}},
		},
	}
	edit(e)
	return e
}

func remoteCluster(edit func(*v1alpha1.RemoteCluster)) client.Object {
	r := &v1alpha1.RemoteCluster{
		ObjectMeta: metav1.ObjectMeta{Name: "west"},
		Spec: v1alpha1.RemoteClusterSpec{
			Index: 2,
			CIDRs: []v1alpha1.CIDR{"10.2.0.0/18"},
			Gateways: []v1alpha1.RemoteGateway{{
				Name: "node-1", Lane: 63, PublicKey: key,
				Endpoints:       []v1alpha1.Endpoint{{Address: "192.0.2.2", Port: 51820}},
				TunnelAddresses: []v1alpha1.IPAddress{"245.0.32.63"},
			}},
		},
	}
	edit(r)
	return r
}

// What a user may get wrong when an object is created, and the words of the sentence that says so.
// An empty want means that the object is accepted.
func TestCreate(t *testing.T) {
	type (
		set    = v1alpha1.ClusterSet
		mem    = v1alpha1.Member
		gwn    = v1alpha1.GatewayNode
		exsvc  = v1alpha1.ExportedService
		remote = v1alpha1.RemoteCluster
		cidrs  = []v1alpha1.CIDR

		patterns = []v1alpha1.NamespacePattern
	)
	const (
		badCIDR      = "must be an IPv4 or IPv6 CIDR without host bits, such as 10.1.0.0/16 or fd00:1::/64"
		oneVIP       = "at most one VIP CIDR per IP family"
		transit      = "must be an IPv4 CIDR of /8 or larger"
		badNamespace = "must be a namespace's name, or the beginning of one and a '*' at its end"
		badID        = "a cluster ID is one RFC 1123 label"
		badKey       = "must be a WireGuard public key: 32 bytes in base64, 44 characters"
		badIP        = "must be an IPv4 or IPv6 address, such as"
		badURL       = "must be an https URL, such as https://hub.example.com:6443"
		oneSet       = "a cluster belongs to one clusterset: the ClusterSet must be named 'default'"
		badIndex     = "spec.index"
	)
	for _, tc := range []struct {
		name   string
		object client.Object
		want   string
	}{
		{"clusterset", clusterSet(func(*set) {}), ""},
		{"clusterset with a VIP CIDR per family", clusterSet(func(s *set) { s.Spec.VIPCIDRs = cidrs{"244.0.0.0/16", "fd00:ffff::/112"} }), ""},
		{"clusterset of another name", clusterSet(func(s *set) { s.Name = "mine" }), oneSet},
		{"clusterset ID in capitals", clusterSet(func(s *set) { s.Spec.ClusterSetID = "Demo" }), "a clusterset ID is one RFC 1123 label"},
		{"empty clusterset ID", clusterSet(func(s *set) { s.Spec.ClusterSetID = "" }), "spec.clusterSetID"},
		{"cluster ID with a dot", clusterSet(func(s *set) { s.Spec.ClusterID = "east.example" }), badID},
		{"cluster ID that ends with a hyphen", clusterSet(func(s *set) { s.Spec.ClusterID = "east-" }), badID},
		{"hub by http", clusterSet(func(s *set) { s.Spec.Hub.Server = "http://hub:6443" }), badURL},
		{"hub without scheme", clusterSet(func(s *set) { s.Spec.Hub.Server = "hub:6443" }), badURL},
		{"hub without Secret", clusterSet(func(s *set) { s.Spec.Hub.SecretRef.Name = "" }), "spec.hub.secretRef.name"},
		{"two IPv4 VIP CIDRs", clusterSet(func(s *set) { s.Spec.VIPCIDRs = cidrs{"244.0.0.0/16", "244.1.0.0/16"} }), oneVIP},
		{"the same VIP CIDR twice", clusterSet(func(s *set) { s.Spec.VIPCIDRs = cidrs{"fd00::/112", "fd00::/112"} }), oneVIP},
		{"three VIP CIDRs", clusterSet(func(s *set) { s.Spec.VIPCIDRs = cidrs{"244.0.0.0/16", "fd00::/112", "fd01::/112"} }), "spec.vipCIDRs"},
		{"malformed VIP CIDR", clusterSet(func(s *set) { s.Spec.VIPCIDRs = cidrs{"244.0.0/16"} }), badCIDR},
		{"malformed VIP CIDR beside a good one", clusterSet(func(s *set) { s.Spec.VIPCIDRs = cidrs{"244.0.0.0/16", "fd00::"} }), badCIDR},
		{"VIP CIDR with host bits", clusterSet(func(s *set) { s.Spec.VIPCIDRs = cidrs{"244.0.0.1/16"} }), badCIDR},
		{"transit CIDR too small", clusterSet(func(s *set) { s.Spec.TransitCIDR = "245.0.0.0/9" }), transit},
		{"transit CIDR of IPv6", clusterSet(func(s *set) { s.Spec.TransitCIDR = "fd00::/8" }), transit},
		{"malformed transit CIDR", clusterSet(func(s *set) { s.Spec.TransitCIDR = "245/8" }), transit},
		{"gateway port without room for lanes", clusterSet(func(s *set) { s.Spec.Gateway.Port = 65473 }), "spec.gateway.port"},
		{"unknown backend", clusterSet(func(s *set) { s.Spec.Dataplane.Backend = "ebpf" }), "spec.dataplane.backend"},
		{"unknown locality", clusterSet(func(s *set) { s.Spec.Dataplane.Locality = "Near" }), "spec.dataplane.locality"},
		{"VXLAN ID of 25 bits", clusterSet(func(s *set) { s.Spec.Dataplane.VXLANID = 1 << 24 }), "spec.dataplane.vxlanID"},
		{"unknown DNS mode", clusterSet(func(s *set) { s.Spec.DNS = "Auto" }), "spec.dns"},

		{"member", member(func(*mem) {}), ""},
		{"member with global CIDRs", member(func(m *mem) { m.Spec.GlobalCIDRs = cidrs{"100.64.0.0/16"} }), ""},
		{"member of a wrong name", member(func(m *mem) { m.Name = "east.example" }), "a Member is named after its cluster ID"},
		{"member of a long name", member(func(m *mem) { m.Name = strings.Repeat("e", 64) }), "a Member is named after its cluster ID"},
		{"member with limits", member(func(m *mem) { m.Spec.Limits = v1alpha1.MemberLimits{Exports: 70_000, Endpoints: 1_000_000} }), ""},
		{"negative limit", member(func(m *mem) { m.Spec.Limits.Slices = -1 }), "spec.limits.slices"},
		{"limit beyond what anybody can carry", member(func(m *mem) { m.Spec.Limits.EndpointsPerService = 1 << 20 }), "spec.limits.endpointsPerService"},
		{"index zero", member(func(m *mem) { m.Spec.Index = 0 }), badIndex},
		{"index beyond the transit CIDR", member(func(m *mem) { m.Spec.Index = 4096 }), badIndex},
		{"no CIDR", member(func(m *mem) { m.Spec.CIDRs = cidrs{} }), "spec.cidrs"},
		{"CIDR with host bits", member(func(m *mem) { m.Spec.CIDRs = cidrs{"10.1.2.3/16"} }), badCIDR},
		{"address in place of a CIDR", member(func(m *mem) { m.Spec.CIDRs = cidrs{"10.1.2.3"} }), badCIDR},
		{"IPv4 in IPv6", member(func(m *mem) { m.Spec.CIDRs = cidrs{"::ffff:10.1.0.0/112"} }), badCIDR},
		{"leading zeros", member(func(m *mem) { m.Spec.CIDRs = cidrs{"10.01.0.0/16"} }), badCIDR},
		{"malformed global CIDR", member(func(m *mem) { m.Spec.GlobalCIDRs = cidrs{"100.64.0.0/33"} }), badCIDR},

		{"namespaces", member(func(m *mem) { m.Spec.Namespaces = patterns{"shop", "team-*", "a*", "*"} }), ""},
		{"star inside a namespace", member(func(m *mem) { m.Spec.Namespaces = patterns{"a*b"} }), badNamespace},
		{"two stars", member(func(m *mem) { m.Spec.Namespaces = patterns{"a**"} }), badNamespace},
		{"namespace in capitals", member(func(m *mem) { m.Spec.Namespaces = patterns{"Shop"} }), badNamespace},
		{"namespace that ends with a dash", member(func(m *mem) { m.Spec.Namespaces = patterns{"shop-"} }), badNamespace},
		{"one namespace twice", member(func(m *mem) { m.Spec.Namespaces = patterns{"shop", "shop"} }), "spec.namespaces[1]"},

		{"gateway", gatewayNode(func(*gwn) {}), ""},
		{"gateway without addresses yet", gatewayNode(func(g *gwn) { g.Spec.TunnelAddresses, g.Spec.UnderlayAddresses = nil, nil }), ""},
		{"short key", gatewayNode(func(g *gwn) { g.Spec.PublicKey = key[4:] }), badKey},
		{"key in hex", gatewayNode(func(g *gwn) { g.Spec.PublicKey = strings.Repeat("0f", 22) }), badKey},
		{"no endpoint", gatewayNode(func(g *gwn) { g.Spec.Endpoints = []v1alpha1.Endpoint{} }), "spec.endpoints"},
		{"endpoint by name", gatewayNode(func(g *gwn) { g.Spec.Endpoints[0].Address = "gw.example.com" }), badIP},
		{"endpoint without port", gatewayNode(func(g *gwn) { g.Spec.Endpoints[0].Port = 0 }), "spec.endpoints[0].port"},
		{"tunnel address with a length", gatewayNode(func(g *gwn) { g.Spec.TunnelAddresses[0] = "245.0.16.0/20" }), badIP},

		{"exported service", exportedService(func(*exsvc) {}), ""},
		{"export of an unknown type", exportedService(func(e *exsvc) { e.Spec.Type = "ExternalName" }), "spec.type"},
		{"export without a name", exportedService(func(e *exsvc) { e.Spec.Name = "" }), "spec.name"},

		{"remote cluster", remoteCluster(func(*remote) {}), ""},
		{"lane 64", remoteCluster(func(r *remote) { r.Spec.Gateways[0].Lane = 64 }), "spec.gateways[0].lane"},
		{"remote index zero", remoteCluster(func(r *remote) { r.Spec.Index = 0 }), badIndex},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := admin.Create(t.Context(), tc.object, client.DryRunAll)
			checkInvalid(t, err, tc.want)
		})
	}
}

// checkInvalid wants err to be nil if want is empty, else a refusal that holds want.
func checkInvalid(t *testing.T, err error, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("refused: %v", err)
	case want != "" && err == nil:
		t.Errorf("accepted; want it refused with %q", want)
	case want != "" && (!apierrors.IsInvalid(err) || !strings.Contains(err.Error(), want)):
		t.Errorf("got %v\nwant it refused with %q", err, want)
	}
}

func TestImmutable(t *testing.T) {
	set := clusterSet(func(*v1alpha1.ClusterSet) {}).(*v1alpha1.ClusterSet)
	mem := member(func(*v1alpha1.Member) {}).(*v1alpha1.Member)
	create(t, set, mem)
	set.Spec.ClusterID = "west"
	checkInvalid(t, admin.Update(t.Context(), set, client.DryRunAll), "clusterID is immutable: to rename a cluster")
	mem.Spec.Index = 2
	checkInvalid(t, admin.Update(t.Context(), mem, client.DryRunAll), "index is immutable: tunnel addresses derive from it")
}

func TestDefaults(t *testing.T) {
	set := clusterSet(func(*v1alpha1.ClusterSet) {}).(*v1alpha1.ClusterSet)
	if err := admin.Create(t.Context(), set, client.DryRunAll); err != nil {
		t.Fatal(err)
	}
	s := set.Spec
	if len(s.VIPCIDRs) != 1 || s.VIPCIDRs[0] != "244.0.0.0/16" || s.TransitCIDR != "245.0.0.0/8" || s.DNS != v1alpha1.DNSManual {
		t.Errorf("addresses and DNS: %+v", s)
	}
	if s.Gateway.Port != 51820 {
		t.Errorf("gateway: %+v", s.Gateway)
	}
	d := s.Dataplane
	if d.Backend != v1alpha1.BackendAuto || d.Locality != v1alpha1.LocalityNone || d.VXLANPort != 7473 || d.VXLANID != 7473 {
		t.Errorf("dataplane: %+v", d)
	}
}
