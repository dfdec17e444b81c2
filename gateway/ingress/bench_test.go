package ingress

import (
	"fmt"
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/kernel/firewall"
)

// many endpoints are exported, and as many imported, in slices of so many each.
const many, inSlice = 100_000, 100

// crowd is a cluster that exports and imports many endpoints.
type crowd struct {
	in       Input
	slices   []*discoveryv1.EndpointSlice
	elements firewall.Elements[string]
	changes  int
}

func newCrowd() *crowd {
	c := &crowd{in: Input{
		Cluster: "west", Probes: 7472, CIDRs: []netip.Prefix{netip.MustParsePrefix("10.2.0.0/16")},
		Senders: []Sender{{Cluster: "east", Prefixes: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}}},
	}}
	for i := range many / inSlice {
		var exported, imported []string
		for n := range inSlice {
			address := (i*inSlice + n) % 50_000 // two ports of each
			exported = append(exported, netip.AddrFrom4([4]byte{10, 2, byte(address >> 8), byte(address)}).String())
			imported = append(imported, netip.AddrFrom4([4]byte{10, 1, byte(address >> 8), byte(address)}).String())
		}
		port := int32(8000 + i*inSlice/50_000)
		s := exportedSlice(i, corev1.ProtocolTCP, port, imported...)
		s.Name, s.Labels = "east-"+s.Name, map[string]string{v1alpha1.LabelServiceName: s.Name, v1alpha1.LabelSourceCluster: "east"}
		c.slices = append(c.slices, exportedSlice(i, corev1.ProtocolTCP, port, exported...), s)
	}
	return c
}

// exportedSlice is a slice of an exported Service with a selector.
func exportedSlice(number int, protocol corev1.Protocol, port int32, addresses ...string) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: fmt.Sprintf("web-%d", number),
			Labels: map[string]string{discoveryv1.LabelServiceName: "web", discoveryv1.LabelManagedBy: "endpointslice-controller.k8s.io"}},
		Ports: []discoveryv1.EndpointPort{{Protocol: &protocol, Port: ptr.To(port)}},
	}
	for _, a := range addresses {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{a}})
	}
	return s
}

// anew is the table for all slices, planned from nothing.
func (c *crowd) anew() firewall.Config {
	c.elements = firewall.Elements[string]{}
	for _, s := range c.slices {
		c.put(s)
	}
	return c.plan()
}

func (c *crowd) put(s *discoveryv1.EndpointSlice) {
	c.elements.Put(s.Name, c.in.Elements(s, Export{Open: true, Selector: true}))
}

// plan is the table for what was put.
func (c *crowd) plan() firewall.Config {
	c.in.Endpoints = c.elements.Sets()
	return Table(c.in)
}

// change replaces an endpoint of one slice, and plans the table for that.
func (c *crowd) change() firewall.Config {
	c.changes++
	s := c.slices[len(c.slices)/2]
	s.Endpoints[0].Addresses = []string{fmt.Sprintf("10.2.255.%d", c.changes%2)}
	c.put(s)
	return c.plan()
}

// BenchmarkPlan plans everything.
func BenchmarkPlan(b *testing.B) {
	c := newCrowd()
	for b.Loop() {
		c.anew()
	}
}

// BenchmarkPlanChange plans the change of one of 100,000 exported endpoints, with the comparison that
// follows.
func BenchmarkPlanChange(b *testing.B) {
	c := newCrowd()
	have := c.anew()
	for b.Loop() {
		want := c.change()
		if change := firewall.Diff(firewall.IngressTable, stateOf(have), want); len(change.Elements) != 1 {
			b.Fatal(change.Elements)
		}
		have = want
	}
}

// stateOf is what the kernel has of the table.
func stateOf(c firewall.Config) firewall.State {
	state := firewall.State{Digest: c.Digest(), Elements: map[string]firewall.Keys{}}
	for _, s := range c.Sets {
		state.Elements[s.Name] = s.Keys
	}
	return state
}
