package agent

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	kubefake "k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/gateway/ingress"
	"github.com/tombolo-net/tombolo/internal/kernel/firewall"
	"github.com/tombolo-net/tombolo/internal/kernel/nft"
	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
)

// ingressObjects are a cluster that exports, and one that it imports from.
func ingressObjects() []client.Object {
	slice := func(name string, labels map[string]string, port *int32, addresses ...string) *discoveryv1.EndpointSlice {
		s := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, Labels: labels}}
		for _, a := range addresses {
			s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{a}})
		}
		if port != nil {
			s.Ports = []discoveryv1.EndpointPort{{Port: port, Protocol: ptr.To(corev1.ProtocolTCP)}}
		}
		return s
	}
	of := func(service string) map[string]string {
		return map[string]string{discoveryv1.LabelServiceName: service, discoveryv1.LabelManagedBy: "endpointslice-controller.k8s.io"}
	}
	from := func(cluster string) map[string]string {
		return map[string]string{v1alpha1.LabelServiceName: "web", v1alpha1.LabelSourceCluster: cluster, discoveryv1.LabelManagedBy: v1alpha1.ManagedBy}
	}
	service := func(name string, selector map[string]string) *corev1.Service {
		return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}, Spec: corev1.ServiceSpec{Selector: selector}}
	}
	byHand := func(labels map[string]string, key, value string) map[string]string {
		labels[key] = value
		return labels
	}
	some := map[string]string{"app": "web"}
	export := func(name string, conditions ...metav1.Condition) *mcsv1beta1.ServiceExport {
		return &mcsv1beta1.ServiceExport{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name}, Status: mcsv1beta1.ServiceExportStatus{Conditions: conditions}}
	}
	return []client.Object{
		&v1alpha1.ClusterSet{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.ClusterSetName}, Spec: v1alpha1.ClusterSetSpec{ClusterSetID: "demo", ClusterID: "west", TransitCIDR: "245.0.0.0/8"},
			Status: v1alpha1.ClusterSetStatus{Index: 2, CIDRs: []v1alpha1.CIDR{"10.2.0.0/16"}}},
		&v1alpha1.RemoteCluster{ObjectMeta: metav1.ObjectMeta{Name: "east"}, Spec: v1alpha1.RemoteClusterSpec{Index: 1, CIDRs: []v1alpha1.CIDR{"10.1.0.0/16"}}},
		gatewayNode(func(n *corev1.Node) {
			n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "192.0.2.1"}, {Type: corev1.NodeHostName, Address: "x"}}
		}),
		export("web"), export("refused", metav1.Condition{Type: "Ready", Status: "False", Reason: "Failed"}),
		export("waits", metav1.Condition{Type: "Ready", Status: "False", Reason: "Pending"}), export("none", metav1.Condition{Type: "Valid", Status: "False", Reason: "NoService"}),
		export("bare"), export("by-hand"),
		service("web", some), service("refused", some), service("waits", some), service("other", some), service("bare", some), service("by-hand", nil),
		// What somebody wrote does not count, but for what the operator made of it.
		slice("web-2", byHand(of("web"), discoveryv1.LabelManagedBy, "me"), ptr.To(int32(80)), "10.2.1.5"),
		slice("by-hand-1", of("by-hand"), ptr.To(int32(80)), "10.2.1.6", "10.2.1.7"),
		slice("forged", byHand(from("west"), discoveryv1.LabelManagedBy, "me"), ptr.To(int32(80)), "10.2.1.8"),
		slice("west-by-hand", byHand(from("west"), v1alpha1.LabelServiceName, "by-hand"), ptr.To(int32(80)), "10.2.1.7"),
		slice("web-1", of("web"), ptr.To(int32(80)), "10.2.0.5", "10.9.0.5", "127.0.0.1"),
		slice("refused-1", of("refused"), ptr.To(int32(80)), "10.2.0.6"), slice("waits-1", of("waits"), ptr.To(int32(80)), "10.2.0.7"),
		slice("none-1", of("none"), ptr.To(int32(80)), "10.2.0.8"), slice("other-1", of("other"), ptr.To(int32(80)), "10.2.0.9"),
		slice("bare-1", of("bare"), nil, "10.2.0.10"),
		slice("east-web", from("east"), ptr.To(int32(8080)), "10.1.0.5", "10.2.0.99"), slice("gone-web", from("gone"), ptr.To(int32(8080)), "10.1.0.6"),
	}
}

func newIngressAgent(t *testing.T, objects ...client.Object) (*Agent, *memoryKernel) {
	t.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, discoveryv1.AddToScheme, v1alpha1.AddToScheme, mcsv1beta1.Install} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	builder := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...)
	for _, i := range indexes() {
		builder = builder.WithIndex(i.Object, i.Field, i.Values)
	}
	c := builder.Build()
	k := &memoryKernel{}
	return New(Config{Client: c, Secrets: c, NodeName: "east-1", Namespace: "ns", Kernel: k.kernel()}), k
}

// The sets hold the endpoints of what is exported and not refused, inside the CIDRs of whose they are.
func TestIngressSets(t *testing.T) {
	a, k := newIngressAgent(t, ingressObjects()...)
	if err := a.ingressPass(t.Context()); err != nil {
		t.Fatal(err)
	}
	port := func(address string) string {
		ap := netip.MustParseAddrPort(address)
		return string(nft.AppendService(nil, serviceport.Key{Address: ap.Addr(), Protocol: serviceport.TCP, Port: ap.Port()}))
	}
	addr := func(a string) string { return string(netip.MustParseAddr(a).AsSlice()) }
	want := map[string][]string{
		"exported4": {port("10.2.0.5:80"), port("10.2.0.7:80"), port("10.2.1.7:80")}, "exported-hosts4": {addr("10.2.0.10")}, "imported4": {port("10.1.0.5:8080")}, "nodes4": {addr("192.0.2.1")},
	}
	got := map[string][]string{}
	for _, s := range k.ingress.Sets {
		if s.Keys.Len() > 0 {
			got[s.Name] = slices.Collect(s.Keys.All())
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("sets (-want +got)\n%s", diff)
	}
}

// An export with a policy is in the sets of the clusters that it names, and of no other.
func TestIngressAudience(t *testing.T) {
	remote := func(name, region string, index int32) *v1alpha1.RemoteCluster {
		return &v1alpha1.RemoteCluster{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.RemoteClusterSpec{
			Index: index, Region: region, CIDRs: []v1alpha1.CIDR{v1alpha1.CIDR(fmt.Sprintf("10.%d.0.0/16", index))}}}
	}
	policy := func(name, target string, audience v1alpha1.ExportAudience) *v1alpha1.ExportPolicy {
		return &v1alpha1.ExportPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name},
			Spec: v1alpha1.ExportPolicySpec{TargetRef: v1alpha1.ExportPolicyTarget{Name: target}, ExportAudience: audience}}
	}
	a, k := newIngressAgent(t, append(ingressObjects(), remote("north", "eu", 4), remote("south", "us", 5),
		policy("a", "web", v1alpha1.ExportAudience{Clusters: []v1alpha1.ClusterID{"north"}}),
		policy("b", "bare", v1alpha1.ExportAudience{Regions: []string{"eu"}}))...)
	if err := a.ingressPass(t.Context()); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range k.ingress.Sets {
		if s.Keys.Len() > 0 && strings.HasPrefix(s.Name, "exported") {
			got = append(got, fmt.Sprintf("%s %d", s.Name, s.Keys.Len()))
		}
	}
	slices.Sort(got)
	want := []string{"exported-hosts4-to-north 1", "exported4 2", "exported4-to-north 1"} // exported4: Services waits and by-hand
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("sets (-want +got)\n%s", diff)
	}
}

// Where the filter is switched off, and without a ClusterSet, there is no table.
func TestNoIngress(t *testing.T) {
	objects := ingressObjects()
	objects[0].(*v1alpha1.ClusterSet).Spec.Gateway.Ingress = v1alpha1.IngressAny
	for _, objects := range [][]client.Object{objects, objects[1:]} {
		a, k := newIngressAgent(t, objects...)
		k.ingress = firewall.Config{Counters: []string{"x"}}
		if err := a.ingressPass(t.Context()); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(firewall.Config{}, k.ingress); diff != "" {
			t.Errorf("the table has (-want +got)\n%s", diff)
		}
	}
}

// told keeps the notes of events.
type told struct{ notes []string }

func (r *told) Eventf(_, _ runtime.Object, _, _, _, _ string, args ...any) {
	r.notes = append(r.notes, args[0].(string))
}

// Dropped packets are told once in ten minutes for each cluster and reason, and not what was dropped
// before the agent started.
func TestReportDropped(t *testing.T) {
	a, k := newIngressAgent(t, ingressObjects()...)
	notes := &told{}
	a.cfg.Events = notes
	counters := map[string]uint64{ingress.CounterName("east", ingress.Unexported): 100, ingress.CounterName("", ingress.Source): 3}
	begin := time.Now()
	for _, step := range []struct {
		after time.Duration
		more  uint64
		want  int
	}{{0, 0, 0}, {5 * time.Second, 0, 0}, {10 * time.Second, 4, 1}, {time.Minute, 4, 1}, {11 * time.Minute, 4, 2}, {12 * time.Minute, 0, 2}} {
		for name := range counters {
			counters[name] += step.more
		}
		k.dropped = ingress.Dropped{Packets: maps.Clone(counters)}
		if err := a.reportDropped(t.Context(), begin.Add(step.after)); err != nil {
			t.Fatal(err)
		}
		if len(notes.notes) != step.want {
			t.Errorf("after %s: told %q, want %d", step.after, notes.notes, step.want)
		}
	}
	if len(notes.notes) > 0 && !slices.Contains([]string{ingress.DroppedNote("east", ingress.Unexported, 4, nil)}, notes.notes[0]) {
		t.Errorf("told %q", notes.notes[0])
	}
}

// Packets that are dropped for two reasons are told by two events, though the recorder takes events that look the
// same for one.
func TestReportDroppedForTwoReasons(t *testing.T) {
	a, k := newIngressAgent(t, ingressObjects()...)
	clients := kubefake.NewClientset()
	broadcaster := events.NewBroadcaster(&events.EventSinkImpl{Interface: clients.EventsV1()})
	defer broadcaster.Shutdown()
	if err := broadcaster.StartRecordingToSinkWithContext(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.cfg.Events = broadcaster.NewRecorder(a.cfg.Client.Scheme(), "gateway")
	for packets := range uint64(2) {
		k.dropped = ingress.Dropped{Packets: map[string]uint64{
			ingress.CounterName("east", ingress.Unexported): packets, ingress.CounterName("east", ingress.Foreign): packets,
		}}
		if err := a.reportDropped(t.Context(), time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	notes := map[string]bool{}
	for deadline := time.Now().Add(10 * time.Second); len(notes) < 2 && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		list, err := clients.EventsV1().Events("").List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list.Items {
			notes[e.Note] = true
		}
	}
	for _, r := range []ingress.Reason{ingress.Unexported, ingress.Foreign} {
		if note := ingress.DroppedNote("east", r, 1, nil); !notes[note] {
			t.Errorf("no event has the note %q", note)
		}
	}
}
