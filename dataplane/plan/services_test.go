package plan

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
)

var compare = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
	cmpopts.EquateEmpty(),
}

func place() Place {
	return Place{Cluster: "west", Node: "worker", VIPs: []netip.Prefix{netip.MustParsePrefix("244.0.0.0/16"), netip.MustParsePrefix("fd77::/112")}}
}

func imported(ips []string, ports ...mcsv1beta1.ServicePort) *mcsv1beta1.ServiceImport {
	return &mcsv1beta1.ServiceImport{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", UID: "web", Labels: map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}},
		Spec:       mcsv1beta1.ServiceImportSpec{Type: mcsv1beta1.ClusterSetIP, IPs: ips, Ports: ports},
	}
}

func port(name string, protocol corev1.Protocol, number int32) mcsv1beta1.ServicePort {
	return mcsv1beta1.ServicePort{Name: name, Protocol: protocol, Port: number}
}

func slicePort(name string, protocol corev1.Protocol, number int32) discoveryv1.EndpointPort {
	return discoveryv1.EndpointPort{Name: &name, Protocol: &protocol, Port: &number}
}

func slice(cluster string, family discoveryv1.AddressType, ports []discoveryv1.EndpointPort, endpoints ...discoveryv1.Endpoint) *discoveryv1.EndpointSlice {
	return &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: cluster + ".web", Labels: map[string]string{
			v1alpha1.LabelServiceName: "web", v1alpha1.LabelSourceCluster: cluster, discoveryv1.LabelManagedBy: v1alpha1.ManagedBy},
			OwnerReferences: []metav1.OwnerReference{{UID: "web"}}},
		AddressType: family, Ports: ports, Endpoints: endpoints,
	}
}

func ready(address string) discoveryv1.Endpoint {
	return discoveryv1.Endpoint{Addresses: []string{address}, Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(true)}}
}

// text is one line for each virtual service.
func text(services []VirtualService) []string {
	var lines []string
	for _, s := range services {
		line := fmt.Sprintf("%s %s %s", s.Protocol, netip.AddrPortFrom(s.Address, s.Port), s.Scheduler)
		if s.Affinity > 0 {
			line += " " + s.Affinity.String()
		}
		for _, d := range s.Destinations {
			line += fmt.Sprintf(" -> %s*%d", netip.AddrPortFrom(d.Address, d.Port), d.Weight)
			if d.Hairpin {
				line += " here"
			}
		}
		lines = append(lines, line)
	}
	return lines
}

func TestServices(t *testing.T) {
	v4, v6 := discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6
	web := []mcsv1beta1.ServicePort{port("http", "TCP", 80)}
	webAt := func(number int32) []discoveryv1.EndpointPort {
		return []discoveryv1.EndpointPort{slicePort("http", "TCP", number)}
	}
	tests := []struct {
		name   string
		si     *mcsv1beta1.ServiceImport
		slices []*discoveryv1.EndpointSlice
		edit   func(*Place)
		want   []string
	}{
		{
			name: "ports follow the name, the number is each slice's own",
			si:   imported([]string{"244.0.0.1"}, port("http", "TCP", 80), port("dns", "UDP", 53), port("sig", "SCTP", 9)),
			slices: []*discoveryv1.EndpointSlice{
				slice("east", v4, []discoveryv1.EndpointPort{slicePort("dns", "UDP", 5353), slicePort("http", "TCP", 8080)}, ready("10.1.0.5")),
				slice("north", v4, []discoveryv1.EndpointPort{slicePort("http", "TCP", 8081), slicePort("other", "TCP", 1)}, ready("10.3.0.5")),
				slice("south", v4, []discoveryv1.EndpointPort{slicePort("http", "UDP", 8082)}, ready("10.4.0.5")),
			},
			want: []string{
				"SCTP 244.0.0.1:9 Random",
				"TCP 244.0.0.1:80 Random -> 10.1.0.5:8080*1 -> 10.3.0.5:8081*1",
				"UDP 244.0.0.1:53 Random -> 10.1.0.5:5353*1",
			},
		},
		{
			name: "unready endpoints get nothing, those that do not say are ready",
			si:   imported([]string{"244.0.0.1"}, web...),
			slices: []*discoveryv1.EndpointSlice{slice("east", v4, webAt(80), ready("10.1.0.9"), ready("10.1.0.5"),
				discoveryv1.Endpoint{Addresses: []string{"10.1.0.6"}, Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(false), Serving: ptr.To(true)}},
				discoveryv1.Endpoint{Addresses: []string{"10.1.0.7"}}, discoveryv1.Endpoint{}, ready("nonsense"), ready("fd00::1"),
			)},
			want: []string{"TCP 244.0.0.1:80 Random -> 10.1.0.5:80*1 -> 10.1.0.7:80*1 -> 10.1.0.9:80*1"},
		},
		{
			name: "both families, each with its own endpoints",
			si:   imported([]string{"244.0.0.1", "fd77::1"}, web...),
			slices: []*discoveryv1.EndpointSlice{slice("east", v4, webAt(80), ready("10.1.0.5")),
				slice("east", v6, webAt(8080), ready("fd01::5"), ready("fd01::5"))},
			want: []string{"TCP 244.0.0.1:80 Random -> 10.1.0.5:80*1", "TCP [fd77::1]:80 Random -> [fd01::5]:8080*1"},
		},
		{
			name:   "an unreachable cluster's endpoints count as not ready",
			si:     imported([]string{"244.0.0.1"}, web...),
			slices: []*discoveryv1.EndpointSlice{slice("east", v4, webAt(80), ready("10.1.0.5")), slice("west", v4, webAt(80), ready("10.2.0.5"))},
			edit: func(p *Place) {
				p.Remotes = map[v1alpha1.ClusterID]Remote{"east": {Unreachable: true}, "nowhere": {Unreachable: true}}
			},
			want: []string{"TCP 244.0.0.1:80 Random -> 10.2.0.5:80*1 here"},
		},
		{
			name:   "where no other cluster has any, an unreachable cluster's endpoints stay",
			si:     imported([]string{"244.0.0.1"}, web...),
			slices: []*discoveryv1.EndpointSlice{slice("east", v4, webAt(80), ready("10.1.0.5")), slice("west", v4, webAt(80))},
			edit:   func(p *Place) { p.Remotes = map[v1alpha1.ClusterID]Remote{"east": {Unreachable: true}} },
			want:   []string{"TCP 244.0.0.1:80 Random -> 10.1.0.5:80*1"},
		},
		{
			name: "pods of this node, but not those of another cluster's node of that name",
			si:   imported([]string{"244.0.0.1"}, web...),
			slices: []*discoveryv1.EndpointSlice{
				slice("east", v4, webAt(80), discoveryv1.Endpoint{Addresses: []string{"10.1.0.5"}, NodeName: ptr.To("worker")}),
				slice("west", v4, webAt(80), discoveryv1.Endpoint{Addresses: []string{"10.2.0.5"}, NodeName: ptr.To("worker")},
					discoveryv1.Endpoint{Addresses: []string{"10.2.1.5"}, NodeName: ptr.To("other")}),
			},
			want: []string{"TCP 244.0.0.1:80 Random -> 10.1.0.5:80*1 -> 10.2.0.5:80*1 here -> 10.2.1.5:80*1"},
		},
		{
			name: "what may be a pod of this node, though its slice does not say so",
			si:   imported([]string{"244.0.0.1"}, web...),
			slices: []*discoveryv1.EndpointSlice{
				slice("east", v4, webAt(80), ready("10.1.0.5"), ready("10.2.3.5")),
				slice("west", v4, webAt(80), ready("10.2.0.5"), discoveryv1.Endpoint{Addresses: []string{"10.2.3.6"}, NodeName: ptr.To("other")},
					discoveryv1.Endpoint{Addresses: []string{"10.2.4.6"}, NodeName: ptr.To("other")}),
			},
			edit: func(p *Place) { p.Pods = []netip.Prefix{netip.MustParsePrefix("10.2.3.0/24")} },
			want: []string{"TCP 244.0.0.1:80 Random -> 10.1.0.5:80*1 -> 10.2.0.5:80*1 here -> 10.2.3.5:80*1 -> 10.2.3.6:80*1 here -> 10.2.4.6:80*1"},
		},
		{
			name: "slices of others are none of ours",
			si:   imported([]string{"244.0.0.1"}, web...),
			slices: []*discoveryv1.EndpointSlice{func() *discoveryv1.EndpointSlice {
				s := slice("east", v4, webAt(80), ready("10.1.0.5"))
				s.Labels[discoveryv1.LabelManagedBy] = "somebody"
				return s
			}()},
			want: []string{"TCP 244.0.0.1:80 Random"},
		},
		{
			name: "affinity",
			si: func() *mcsv1beta1.ServiceImport {
				si := imported([]string{"244.0.0.1"}, web...)
				si.Spec.SessionAffinity = corev1.ServiceAffinityClientIP
				si.Spec.SessionAffinityConfig = &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: ptr.To(int32(90))}}
				return si
			}(),
			want: []string{"TCP 244.0.0.1:80 Random 1m30s"},
		},
		{
			name: "affinity without a timeout",
			si: func() *mcsv1beta1.ServiceImport {
				si := imported([]string{"244.0.0.1"}, web...)
				si.Spec.SessionAffinity = corev1.ServiceAffinityClientIP
				return si
			}(),
			want: []string{"TCP 244.0.0.1:80 Random 3h0m0s"},
		},
		{
			name: "outside the VIP CIDR, twice, malformed",
			si:   imported([]string{"10.0.0.1", "244.0.0.1", "244.0.0.1", "x", ""}, port("", "", 80), port("", "TCP", 80), port("", "TCP", 0)),
			slices: []*discoveryv1.EndpointSlice{{ObjectMeta: slice("east", v4, nil).ObjectMeta, AddressType: v4,
				Ports: []discoveryv1.EndpointPort{{Port: ptr.To(int32(8080))}}, Endpoints: []discoveryv1.Endpoint{ready("10.1.0.5")}}},
			want: []string{"TCP 244.0.0.1:80 Random -> 10.1.0.5:8080*1"},
		},
		{
			name: "somebody else's import",
			si: func() *mcsv1beta1.ServiceImport {
				si := imported([]string{"244.0.0.1"}, web...)
				si.Labels = nil
				return si
			}(),
		},
		{
			name: "headless",
			si: func() *mcsv1beta1.ServiceImport {
				si := imported([]string{"244.0.0.1"}, web...)
				si.Spec.Type = mcsv1beta1.Headless
				return si
			}(),
		},
		{name: "no ports", si: imported([]string{"244.0.0.1"})},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := place()
			if tt.edit != nil {
				tt.edit(&p)
			}
			before := fmt.Sprint(tt.si, tt.slices)
			got := Services(Input{Import: tt.si, Slices: tt.slices, Place: p}).Services
			if diff := cmp.Diff(tt.want, text(got), compare); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			reversed := make([]*discoveryv1.EndpointSlice, 0, len(tt.slices))
			for i := range tt.slices {
				reversed = append(reversed, tt.slices[len(tt.slices)-1-i])
			}
			if diff := cmp.Diff(got, Services(Input{Import: tt.si, Slices: reversed, Place: p}).Services, compare); diff != "" {
				t.Errorf("the order of slices shows (-forward +backward)\n%s", diff)
			}
			if fmt.Sprint(tt.si, tt.slices) != before {
				t.Error("the arguments were changed")
			}
		})
	}
}

func TestTable(t *testing.T) {
	a, b := types.NamespacedName{Namespace: "a", Name: "web"}, types.NamespacedName{Namespace: "b", Name: "web"}
	service := func(address string, affinity time.Duration) VirtualService {
		return VirtualService{Key: Key{Address: netip.MustParseAddr(address), Protocol: serviceport.TCP, Port: 80}, Affinity: affinity}
	}
	var table Table
	put := func(name types.NamespacedName, want string, services ...VirtualService) {
		t.Helper()
		var changed []string
		for _, r := range table.Put(name, services) {
			changed = append(changed, r.Key.Address.String())
		}
		if got := fmt.Sprint(changed); got != want {
			t.Errorf("changed %s, want %s", got, want)
		}
	}
	holds := func(address string, want time.Duration, exists bool) {
		t.Helper()
		got, ok := table.Get(service(address, 0).Key)
		if ok != exists || got.Affinity != want {
			t.Errorf("%s: %v %t, want %v %t", address, got.Affinity, ok, want, exists)
		}
	}
	put(b, "[244.0.0.1 244.0.0.2]", service("244.0.0.1", 1), service("244.0.0.2", 1))
	put(b, "[]", service("244.0.0.1", 1), service("244.0.0.2", 1))
	put(b, "[244.0.0.2]", service("244.0.0.1", 1), service("244.0.0.2", 2))
	put(a, "[244.0.0.2 244.0.0.3]", service("244.0.0.2", 9), service("244.0.0.3", 9))
	holds("244.0.0.1", 1, true)
	holds("244.0.0.2", 9, true) // a comes before b
	put(a, "[244.0.0.2 244.0.0.3]")
	holds("244.0.0.2", 2, true)
	holds("244.0.0.3", 0, false)
	if got := fmt.Sprint(table.Names()); got != "[b/web]" {
		t.Errorf("names %s", got)
	}
	put(b, "[244.0.0.1 244.0.0.2]")
	holds("244.0.0.1", 0, false)
	if len(table.byImport)+len(table.claimants)+len(table.Keys()) != 0 {
		t.Errorf("left in an empty table: %+v", table)
	}
}
