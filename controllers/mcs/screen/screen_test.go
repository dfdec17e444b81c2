package screen

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

type spec = v1alpha1.ExportedServiceSpec

// exportBy returns an export that is age seconds younger than the oldest there can be.
func exportBy(cluster v1alpha1.ClusterID, age int, edit func(*v1alpha1.ExportedServiceSpec)) v1alpha1.ExportedService {
	e := v1alpha1.ExportedService{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{v1alpha1.LabelSourceCluster: string(cluster)}},
		Spec: v1alpha1.ExportedServiceSpec{
			Namespace: "shop", Name: "web",
			ExportedAt: metav1.NewTime(time.Unix(int64(age), 0)),
			Type:       mcsv1beta1.ClusterSetIP,
			IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol},
		},
	}
	if edit != nil {
		edit(&e.Spec)
	}
	return e
}

func port(name string, protocol corev1.Protocol, number int32) mcsv1beta1.ServicePort {
	return mcsv1beta1.ServicePort{Name: name, Protocol: protocol, Port: number}
}

func withPorts(ports ...mcsv1beta1.ServicePort) func(*v1alpha1.ExportedServiceSpec) {
	return func(s *v1alpha1.ExportedServiceSpec) { s.Ports = ports }
}

func clientIP(seconds *int32) func(*spec) {
	return func(s *spec) {
		s.SessionAffinity = corev1.ServiceAffinityClientIP
		s.SessionAffinityConfig = &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: seconds}}
	}
}

// onHub gives an export the name that it has on the hub.
func onHub(e v1alpha1.ExportedService) *v1alpha1.ExportedService {
	e.Name = clusterset.HubName(clusterset.SourceCluster(e.Labels), e.Spec.Namespace, e.Spec.Name)
	return &e
}

func TestScreenExport(t *testing.T) {
	longest := strings.Repeat("a", 63)
	tests := []struct {
		name string
		edit func(*spec)
		want string // part of the message; empty: it passes
	}{
		{"as it should be", withPorts(port("http", "TCP", 80), port("", "", 65535)), ""},
		{"headless without ports", func(s *spec) { s.Type = mcsv1beta1.Headless }, ""},
		{"longest names", func(s *spec) { s.Namespace, s.Name = longest, longest }, ""},
		{"name too long", func(s *spec) { s.Name = longest + "a" }, "spec.name"},
		{"name with dots", func(s *spec) { s.Name = "a.b" }, `spec.name "a.b" is not a DNS label`},
		{"no namespace", func(s *spec) { s.Namespace = "" }, `spec.namespace ""`},
		{"a path for a namespace", func(s *spec) { s.Namespace = "../kube-system" }, `spec.namespace "../kube-system"`},
		{"port 0", withPorts(port("http", "TCP", 0)), "port 0"},
		{"port 65536", withPorts(port("http", "TCP", 65536)), "port 65536"},
		{"negative port", withPorts(port("http", "TCP", -1)), "port -1"},
		{"name of a port", withPorts(port("HTTP", "TCP", 80)), `"HTTP"`},
		{"257 ports", func(s *spec) { s.Ports = make([]mcsv1beta1.ServicePort, 257) }, "257 items"},
		{"unknown type", func(s *spec) { s.Type = "Anycast" }, `"Anycast"`},
		{"not decoded", func(s *spec) { s.Type = "" }, `spec.type ""`},
		{"no time", func(s *spec) { s.ExportedAt = metav1.Time{} }, "spec.exportedAt"},
		{"label key", func(s *spec) { s.ExportedLabels = map[string]string{"a b": ""} }, "spec.exportedLabels"},
		{"label value", func(s *spec) { s.ExportedLabels = map[string]string{"a": strings.Repeat("x", 64)} }, "spec.exportedLabels"},
		{"annotation key", func(s *spec) { s.ExportedAnnotations = map[string]string{"/": ""} }, "spec.exportedAnnotations"},
		{"long annotation", func(s *spec) { s.ExportedAnnotations = map[string]string{"a": strings.Repeat("x", 200<<10)} }, "204801 bytes"},
		{"timeout of 0", clientIP(ptr.To[int32](0)), "timeoutSeconds 0"},
		{"timeout of two days", clientIP(ptr.To[int32](2 * 86400)), "timeoutSeconds 172800"},
		{"newer values where they do no harm", func(s *spec) {
			s.SessionAffinity, s.TrafficDistribution = "Cookie", ptr.To("PreferCheap")
			s.InternalTrafficPolicy = ptr.To(corev1.ServiceInternalTrafficPolicy("Zone"))
			s.IPFamilies = []corev1.IPFamily{"IPv4", "IPv8"}
			s.Ports = []mcsv1beta1.ServicePort{port("http", "TCP", 80), port("quic", "QUIC", 80)}
		}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			export := onHub(exportBy("east", 1, test.edit))
			got := Export(export)
			if (got == nil) != (test.want == "") {
				t.Fatalf("got %+v", got)
			}
			if got != nil && (!strings.Contains(got.Message, test.want) || !strings.Contains(got.Message, export.Name) || len(got.Message) > 1000) {
				t.Errorf("the message does not name %s and %s: %s", export.Name, test.want, got.Message)
			}
		})
	}
}

func TestScreenExportUnderAnotherName(t *testing.T) {
	export := onHub(exportBy("east", 1, nil))
	export.Spec.Name = "other"
	if got := Export(export); got == nil || !strings.Contains(got.Message, clusterset.HubName("east", "shop", "other")) {
		t.Errorf("an export under another Service's name: %+v", got)
	}
}

func sliceOf(family discoveryv1.AddressType, addresses ...string) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Name: "east.1.0", Labels: map[string]string{
			v1alpha1.LabelSourceCluster: "east", v1alpha1.LabelServiceName: "web", v1alpha1.LabelNamespace: "shop",
		}},
		AddressType: family,
	}
	for _, a := range addresses {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{a}})
	}
	return s
}

// everything approves all addresses, as a careless admin could.
var everything = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}

func TestScreenAddresses(t *testing.T) {
	tests := []struct {
		family  discoveryv1.AddressType
		address string
		cidrs   []netip.Prefix
		want    string // the address as it is imported, or the reason why not
	}{
		{"IPv4", "10.1.0.1", everything, "10.1.0.1"},
		{"IPv6", "FD00:0::1", everything, "fd00::1"},
		{"IPv4", "10.1.0.1", []netip.Prefix{netip.MustParsePrefix("10.2.0.0/16")}, SkippedUnapproved},
		{"IPv4", "10.1.0.1", nil, SkippedUnapproved},
		{"IPv4", "", everything, SkippedAddress},
		{"IPv4", "web.example", everything, SkippedAddress},
		{"IPv4", "010.1.0.1", everything, SkippedAddress},
		{"IPv4", "10.1.0.1/32", everything, SkippedAddress},
		{"IPv4", "fd00::1", everything, SkippedAddress},
		{"IPv6", "10.1.0.1", everything, SkippedAddress},
		{"IPv6", "::ffff:10.1.0.1", everything, SkippedAddress},
		{"IPv4", "::ffff:10.1.0.1", everything, SkippedAddress},
		{"IPv4", "0.0.0.0", everything, SkippedAddress},
		{"IPv4", "127.0.0.1", everything, SkippedAddress},
		{"IPv4", "169.254.169.254", everything, SkippedAddress},
		{"IPv4", "224.0.0.1", everything, SkippedAddress},
		{"IPv4", "239.1.1.1", everything, SkippedAddress},
		{"IPv4", "255.255.255.255", everything, SkippedAddress},
		{"IPv6", "::", everything, SkippedAddress},
		{"IPv6", "::1", everything, SkippedAddress},
		{"IPv6", "fe80::1", everything, SkippedAddress},
		{"IPv6", "fd00::1%eth0", everything, SkippedAddress},
		{"IPv6", "ff02::1", everything, SkippedAddress},
		{"FQDN", "web.example", everything, SkippedSlice},
		{"IPv8", "10.1.0.1", everything, SkippedSlice},
	}
	for _, test := range tests {
		t.Run(fmt.Sprintf("%s %s", test.family, test.address), func(t *testing.T) {
			endpoints, skipped := Endpoints(sliceOf(test.family, test.address), test.cidrs)
			got := ""
			switch {
			case len(endpoints) == 1 && len(skipped) == 0:
				got = endpoints[0].Addresses[0]
			case len(endpoints) == 0 && len(skipped) == 1:
				got = skipped[0].Reason
			}
			if got != test.want {
				t.Errorf("got %q (%+v, %+v), want %q", got, endpoints, skipped, test.want)
			}
		})
	}
}

// One bad endpoint takes nothing from the others, and a hundred bad ones are told in one sentence.
func TestScreenEndpointsOneByOne(t *testing.T) {
	slice := sliceOf("IPv4", "127.0.0.1", "10.1.0.1", "127.0.0.2", "8.8.8.8", "10.1.0.2")
	slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{})
	slice.Endpoints[1].Conditions.Ready = ptr.To(false)
	original := slice.DeepCopy()
	endpoints, skipped := Endpoints(slice, []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("127.0.0.0/8")})
	want := []discoveryv1.Endpoint{
		{Addresses: []string{"10.1.0.1"}, Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(false)}},
		{Addresses: []string{"10.1.0.2"}},
	}
	if diff := cmp.Diff(want, endpoints); diff != "" {
		t.Errorf("endpoints (-want +got):\n%s", diff)
	}
	wantSkipped := []Skipped{
		{SkippedAddress, `EndpointSlice east.1.0: address "127.0.0.1" is a loopback address, which every node takes for its own: publish addresses at which other clusters reach the endpoint`, 3},
		{SkippedUnapproved, "EndpointSlice east.1.0: address 8.8.8.8 is outside its cluster's approved CIDRs (10.1.0.0/16, 127.0.0.0/8): " +
			"have the clusterset's admin add it to Member.spec.cidrs", 1},
	}
	if diff := cmp.Diff(wantSkipped, skipped); diff != "" {
		t.Errorf("skipped (-want +got):\n%s", diff)
	}
	*endpoints[0].Conditions.Ready = true
	if diff := cmp.Diff(original, slice); diff != "" {
		t.Errorf("the input is shared (-want +got):\n%s", diff)
	}
}

func TestScreenFieldsOfEndpoints(t *testing.T) {
	// 253 bytes: hostname, ".east.", service, ".", namespace, ".svc.clusterset.local"
	service, namespace := strings.Repeat("s", 63), strings.Repeat("n", 63)
	cluster := strings.Repeat("c", 63)
	longest := strings.Repeat("h", 253-len("...")-3*63-len(".svc.clusterset.local"))
	tests := []struct {
		name string
		edit func(*discoveryv1.Endpoint)
		kept bool
	}{
		{"longest hostname", func(e *discoveryv1.Endpoint) { e.Hostname = &longest }, true},
		{"hostname of a name too long", func(e *discoveryv1.Endpoint) { e.Hostname = ptr.To(longest + "h") }, false},
		{"hostname with dots", func(e *discoveryv1.Endpoint) { e.Hostname = ptr.To("a.b") }, false},
		{"empty hostname", func(e *discoveryv1.Endpoint) { e.Hostname = ptr.To("") }, false},
		{"hostname in capitals", func(e *discoveryv1.Endpoint) { e.Hostname = ptr.To("A") }, false},
		{"zone", func(e *discoveryv1.Endpoint) { e.Zone = ptr.To("eu-1a") }, true},
		{"zone with spaces", func(e *discoveryv1.Endpoint) { e.Zone = ptr.To("eu 1a") }, false},
		{"node", func(e *discoveryv1.Endpoint) { e.NodeName = ptr.To("a.b") }, true},
		{"node with a slash", func(e *discoveryv1.Endpoint) { e.NodeName = ptr.To("a/b") }, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			slice := sliceOf("IPv4", "10.1.0.1")
			slice.Labels = map[string]string{v1alpha1.LabelSourceCluster: cluster, v1alpha1.LabelServiceName: service, v1alpha1.LabelNamespace: namespace}
			test.edit(&slice.Endpoints[0])
			got, skipped := Endpoints(slice, everything)
			if len(got) != 1 {
				t.Fatalf("the endpoint was skipped: %+v", skipped)
			}
			if test.kept != cmp.Equal(slice.Endpoints, got) || test.kept != (len(skipped) == 0) {
				t.Errorf("got %+v, skipped %+v", got, skipped)
			}
			if !test.kept && (skipped[0].Reason != SkippedEndpointField || !cmp.Equal(sliceOf("IPv4", "10.1.0.1").Endpoints, got)) {
				t.Errorf("got %+v, skipped %+v", got, skipped)
			}
		})
	}
}

func TestScreenPorts(t *testing.T) {
	endpointPort := func(name string, protocol corev1.Protocol, number int32) discoveryv1.EndpointPort {
		return discoveryv1.EndpointPort{Name: &name, Protocol: &protocol, Port: &number}
	}
	odd := endpointPort("odd", "TCP", 2)
	odd.AppProtocol = ptr.To("no protocol")
	slice := sliceOf("IPv4")
	slice.Ports = []discoveryv1.EndpointPort{
		endpointPort("http", "TCP", 80), endpointPort("http", "TCP", 81), endpointPort("zero", "TCP", 0), endpointPort("huge", "UDP", 1<<20),
		endpointPort("quic", "QUIC", 443), endpointPort("Capital", "TCP", 1), odd, {},
	}
	got, skipped := Ports(slice)
	want := []discoveryv1.EndpointPort{endpointPort("http", "TCP", 80), endpointPort("odd", "TCP", 2), {}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ports (-want +got):\n%s", diff)
	}
	if len(skipped) != 1 || skipped[0].Count != 6 || skipped[0].Reason != SkippedPort || !strings.Contains(skipped[0].Message, `two ports have the name "http"`) {
		t.Errorf("skipped %+v", skipped)
	}
}

func TestScreenGateway(t *testing.T) {
	key := strings.Repeat("A", 42) + "E="
	good := v1alpha1.Endpoint{Address: "192.0.2.1", Port: 51820}
	tests := []struct {
		name      string
		edit      func(*v1alpha1.GatewayNode)
		endpoints int // that are left; 0: it is not used
		skipped   int
	}{
		{"as it should be", func(*v1alpha1.GatewayNode) {}, 1, 0},
		{"no lane yet", func(n *v1alpha1.GatewayNode) { n.Status.Lane = nil }, 1, 0},
		{"key too short", func(n *v1alpha1.GatewayNode) { n.Spec.PublicKey = "AAAA" }, 0, 1},
		{"key with stray bits", func(n *v1alpha1.GatewayNode) { n.Spec.PublicKey = strings.Repeat("A", 42) + "B=" }, 0, 1},
		{"not decoded", func(n *v1alpha1.GatewayNode) {
			n.Spec, n.Status = v1alpha1.GatewayNodeSpec{}, v1alpha1.GatewayNodeStatus{}
		}, 0, 1},
		{"node name", func(n *v1alpha1.GatewayNode) { n.Spec.NodeName = "a b" }, 0, 1},
		{"lane 64", func(n *v1alpha1.GatewayNode) { n.Status.Lane = ptr.To[v1alpha1.Lane](64) }, 0, 1},
		{"lane -1", func(n *v1alpha1.GatewayNode) { n.Status.Lane = ptr.To[v1alpha1.Lane](-1) }, 0, 1},
		{"no endpoints", func(n *v1alpha1.GatewayNode) { n.Spec.Endpoints = nil }, 0, 1},
		{"loopback alone", func(n *v1alpha1.GatewayNode) { n.Spec.Endpoints[0].Address = "127.0.0.1" }, 0, 2},
		{"some bad", func(n *v1alpha1.GatewayNode) {
			n.Spec.Endpoints = append(n.Spec.Endpoints, v1alpha1.Endpoint{Address: "::1", Port: 51820}, v1alpha1.Endpoint{Address: "fe80::1", Port: 1},
				v1alpha1.Endpoint{Address: "nonsense", Port: 1}, v1alpha1.Endpoint{Address: "192.0.2.2", Port: 65500}, good)
		}, 2, 4},
		{"highest base port", func(n *v1alpha1.GatewayNode) { n.Spec.Endpoints[0].Port = 65535 - 63 }, 1, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			node := &v1alpha1.GatewayNode{
				ObjectMeta: metav1.ObjectMeta{Name: "east.1"},
				Spec:       v1alpha1.GatewayNodeSpec{NodeName: "n", PublicKey: key, Endpoints: []v1alpha1.Endpoint{good}},
				Status:     v1alpha1.GatewayNodeStatus{Lane: ptr.To[v1alpha1.Lane](3)},
			}
			test.edit(node)
			original := node.DeepCopy()
			got, skipped := Gateway(node, Places{})
			left := 0
			if got != nil {
				left = len(got.Spec.Endpoints)
			}
			if left != test.endpoints || len(skipped) != test.skipped {
				t.Errorf("%d endpoints left, skipped %+v", left, skipped)
			}
			if diff := cmp.Diff(original, node); diff != "" {
				t.Errorf("the input was changed (-want +got):\n%s", diff)
			}
		})
	}
}
