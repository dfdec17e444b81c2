package plan

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/internal/kernel/route"
)

// transitInput is input, with indexes and with transit addresses for all nodes but g2; west is 2,
// north 3, east 1.
func transitInput() NetworkInput {
	in := input()
	in.ClusterSet.Spec.ClusterSetID = "demo"
	in.ClusterSet.Status.Index = 2
	in.Remotes[0].Spec.Index, in.Remotes[1].Spec.Index = 3, 1
	annotate := func(i int, addresses string) {
		in.Nodes[i].Annotations = map[string]string{v1alpha1.AnnotationTransitAddress: addresses}
	}
	annotate(0, "245.0.32.65,fd5f:f9b7:58d1:2::41")
	annotate(2, "245.0.32.64,fd5f:f9b7:58d1:2::40")
	annotate(3, "245.0.32.66,fd5f:f9b7:58d1:2::42")
	return in
}

// changed are the lines of b that a lacks, and those of a that b lacks, each with a minus before
// it.
func changed(a, b []string) []string {
	var all []string
	for _, line := range b {
		if !slices.Contains(a, line) {
			all = append(all, line)
		}
	}
	for _, line := range a {
		if !slices.Contains(b, line) {
			all = append(all, "-"+line)
		}
	}
	slices.Sort(all)
	return all
}

func plan(t *testing.T, in NetworkInput) Network {
	t.Helper()
	n, err := NewNetwork(in)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestTransitRoutes(t *testing.T) {
	both6 := func(what string) string { return hops6("7474: "+what+" via ", " mtu 1420") }
	worker := []string{
		"local 245.0.32.64/32 src invalid IP", "local fd5f:f9b7:58d1:2::40/128 src invalid IP", "metric 1025", "metric 1025",
		"7474: 245.0.16.0/20 via 192.0.2.11,192.0.2.12 mtu 1420", "7474: 245.0.48.0/20 via 192.0.2.11,192.0.2.12 mtu 1420",
		both6("fd5f:f9b7:58d1:1::/64"),
		"7474: 245.0.32.0/32 via 192.0.2.11 mtu 0", "7474: 245.0.32.1/32 via 192.0.2.12 mtu 0",
		"7476: 245.0.16.0/20 unreachable", "7476: 245.0.48.0/20 unreachable", "7476: fd5f:f9b7:58d1:1::/64 unreachable",
	}
	without := func(lines []string, what string) []string {
		return slices.DeleteFunc(slices.Clone(lines), func(line string) bool { return strings.Contains(line, what) })
	}
	for _, tt := range []struct {
		name    string
		edit    func(*NetworkInput)
		want    []string // beyond what there is without transit addresses
		transit string
	}{
		{name: "a worker", want: worker, transit: "245.0.32.64 fd5f:f9b7:58d1:2::40"},
		{
			name: "no address given yet",
			edit: func(in *NetworkInput) { in.Nodes[2].Annotations = nil },
			want: without(without(worker, "local"), "metric"),
		},
		{
			name: "this cluster's own index is not known, nor what an address of it is",
			edit: func(in *NetworkInput) { in.ClusterSet.Status.Index = 0 },
			want: without(without(without(worker, "local"), "metric"), "/32 via"),
		},
		{
			name: "an address of another block is none, nor one of a gateway's tunnel",
			edit: func(in *NetworkInput) {
				in.Nodes[2].Annotations[v1alpha1.AnnotationTransitAddress] = "245.0.16.64,245.0.32.63,fd5f:f9b7:58d1:2::40"
			},
			want:    append(without(without(worker, "245.0.32.64"), "metric"), "metric 1025"),
			transit: "fd5f:f9b7:58d1:2::40",
		},
		{
			name: "an address that a younger node claims, too, stays with the older one",
			edit: func(in *NetworkInput) {
				in.Nodes[3].Name, in.Nodes[3].Annotations = "Z", in.Nodes[2].Annotations
				in.Nodes[2].CreationTimestamp, in.Nodes[3].CreationTimestamp = metav1.Unix(1, 0), metav1.Unix(2, 0)
			},
			want: worker, transit: "245.0.32.64 fd5f:f9b7:58d1:2::40",
		},
		{
			name: "of two that are equally old it is the one's of the lower name",
			edit: func(in *NetworkInput) {
				in.Nodes[3].Name, in.Nodes[3].Annotations = "Z", in.Nodes[2].Annotations
			},
			want: without(without(worker, "local"), "metric"),
		},
		{
			name: "a cluster without IPv6 needs no IPv6 address",
			edit: func(in *NetworkInput) { in.ClusterSet.Status.CIDRs = []v1alpha1.CIDR{"10.2.0.0/18"} },
			want: append(without(without(worker, "2::40"), "metric"), "metric 1025"), transit: "245.0.32.64",
		},
		{
			name: "a node without IPv6 has no IPv6 clients",
			edit: func(in *NetworkInput) {
				in.Nodes[2].Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "192.0.2.1"}}
			},
			want: append(without(without(worker, "2::40"), "metric"), "metric 1025"), transit: "245.0.32.64",
		},
		{
			name: "other clusters without IPv6 are led to by IPv4 alone",
			edit: func(in *NetworkInput) { in.Remotes[1].Spec.CIDRs = []v1alpha1.CIDR{"10.1.0.0/16"} },
			want: append(without(without(worker, "fd5f"), "metric"), "metric 1025"), transit: "245.0.32.64",
		},
		{
			name: "a refused newcomer has an index only",
			edit: func(in *NetworkInput) { in.Remotes[0].Spec.CIDRs = nil },
			want: without(worker, "245.0.48.0"), transit: "245.0.32.64 fd5f:f9b7:58d1:2::40",
		},
		{
			name: "a gateway leads back to the nodes, and no further",
			edit: func(in *NetworkInput) { in.Node = "g1" },
			want: []string{
				"local 245.0.32.65/32 src invalid IP", "local fd5f:f9b7:58d1:2::41/128 src invalid IP", "metric 1025", "metric 1025",
				"7475: 245.0.32.64/32 via 192.0.2.1 mtu 0", "7475: fd5f:f9b7:58d1:2::40/128 via fe80::<a> mtu 0",
				"7475: 245.0.32.66/32 via 192.0.2.2 mtu 0", "7475: fd5f:f9b7:58d1:2::42/128 via fe80::<b> mtu 0",
				"7474: 245.0.16.0/20 via 192.0.2.12 mtu 1420", "7474: 245.0.48.0/20 via 192.0.2.12 mtu 1420",
				"7474: fd5f:f9b7:58d1:1::/64 via fe80::<g2> mtu 1420",
				"7475: 245.0.32.0/20 unreachable", "7475: fd5f:f9b7:58d1:2::/64 unreachable",
				"7476: 245.0.16.0/20 unreachable", "7476: 245.0.48.0/20 unreachable", "7476: fd5f:f9b7:58d1:1::/64 unreachable",
				"address 245.0.32.0 of tombolo-vx", "rp_filter 2",
				"rule 7475 from 245.0.32.0/32 ipv6 false table 7475", "rule 7475 from fd5f:f9b7:58d1:2::/128 ipv6 true table 7475",
				"rule 7475 from all to 245.0.32.0/20 ipv6 false table 7475", "rule 7475 from all to fd5f:f9b7:58d1:2::/64 ipv6 true table 7475",
				"rule 7475 from 245.0.16.0/20 ipv6 false table 7475", "rule 7475 from 245.0.48.0/20 ipv6 false table 7475",
				"rule 7475 from fd5f:f9b7:58d1:1::/64 ipv6 true table 7475",
			},
			transit: "245.0.32.65 fd5f:f9b7:58d1:2::41",
		},
		{
			name: "a node without a transit address probes from its InternalIP, and the answers take the VXLAN",
			edit: func(in *NetworkInput) { in.Node, in.Nodes[3].Annotations = "g1", nil },
			want: []string{
				"local 245.0.32.65/32 src invalid IP", "local fd5f:f9b7:58d1:2::41/128 src invalid IP", "metric 1025", "metric 1025",
				"7475: 245.0.32.64/32 via 192.0.2.1 mtu 0", "7475: fd5f:f9b7:58d1:2::40/128 via fe80::<a> mtu 0",
				"7475: fd99::2/128 via fe80::<b> mtu 0", // its IPv4 address is a possible endpoint's anyway
				"7474: 245.0.16.0/20 via 192.0.2.12 mtu 1420", "7474: 245.0.48.0/20 via 192.0.2.12 mtu 1420",
				"7474: fd5f:f9b7:58d1:1::/64 via fe80::<g2> mtu 1420",
				"7475: 245.0.32.0/20 unreachable", "7475: fd5f:f9b7:58d1:2::/64 unreachable",
				"7476: 245.0.16.0/20 unreachable", "7476: 245.0.48.0/20 unreachable", "7476: fd5f:f9b7:58d1:1::/64 unreachable",
				"address 245.0.32.0 of tombolo-vx", "rp_filter 2",
				"rule 7475 from 245.0.32.0/32 ipv6 false table 7475", "rule 7475 from fd5f:f9b7:58d1:2::/128 ipv6 true table 7475",
				"rule 7475 from all to 245.0.32.0/20 ipv6 false table 7475", "rule 7475 from all to fd5f:f9b7:58d1:2::/64 ipv6 true table 7475",
				"rule 7475 from 245.0.16.0/20 ipv6 false table 7475", "rule 7475 from 245.0.48.0/20 ipv6 false table 7475",
				"rule 7475 from fd5f:f9b7:58d1:1::/64 ipv6 true table 7475",
			},
			transit: "245.0.32.65 fd5f:f9b7:58d1:2::41",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := transitInput()
			if tt.edit != nil {
				tt.edit(&in)
			}
			got := plan(t, in)
			slices.Reverse(in.Nodes)
			slices.Reverse(in.Remotes)
			if diff := cmp.Diff(got, plan(t, in), compare); diff != "" {
				t.Errorf("the order of objects shows (-forward +backward)\n%s", diff)
			}
			if text := strings.ReplaceAll(clusterset.FormatTransitAddresses(got.Transit), ",", " "); text != tt.transit {
				t.Errorf("transit addresses %q, want %q", text, tt.transit)
			}
			in.ClusterSet.Status.Index = 0
			for _, r := range in.Remotes {
				r.Spec.Index = 0
			}
			want := slices.Sorted(slices.Values(tt.want))
			if diff := cmp.Diff(want, changed(lines(plan(t, in)), lines(got))); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestTransitCIDRs(t *testing.T) {
	in := transitInput()
	cidrs := []netip.Prefix{netip.MustParsePrefix("245.0.0.0/8"), netip.MustParsePrefix("fd5f:f9b7:58d1::/48")}
	if got := plan(t, in).TransitCIDRs; !slices.Equal(got, cidrs) {
		t.Errorf("%v, want %v", got, cidrs)
	}
	in.Remotes[1].Spec.CIDRs = nil
	if got := plan(t, in).TransitCIDRs; !slices.Equal(got, cidrs[:1]) {
		t.Errorf("without IPv6 elsewhere: %v, want %v", got, cidrs[:1])
	}
	in.Remotes = nil
	if got := plan(t, in); got.TransitCIDRs != nil || got.Transit != nil {
		t.Errorf("alone: %v, %v", got.TransitCIDRs, got.Transit)
	}
}

// The VIP CIDRs are told from the transit addresses, which are local as well.
func TestVIPsOfRoutes(t *testing.T) {
	n := plan(t, transitInput())
	if got := LocalVIPs(n.Routes); !slices.Equal(got, n.VIPs) {
		t.Errorf("the routes' VIP CIDRs are %v, want %v", got, n.VIPs)
	}
	locals := 0
	for _, r := range n.Routes.Routes {
		if r.Type == route.Local {
			locals++
		}
	}
	if locals != len(n.VIPs)+len(n.Transit) {
		t.Errorf("%d local routes", locals)
	}
}
