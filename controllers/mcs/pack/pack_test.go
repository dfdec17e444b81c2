package pack

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/mcs"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

func prefixes(texts ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, text := range texts {
		all = append(all, netip.MustParsePrefix(text))
	}
	return all
}

func localSlice(name string, family discoveryv1.AddressType, addresses ...string) discoveryv1.EndpointSlice {
	s := discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: "shop", Name: name},
		AddressType: family,
		Ports:       []discoveryv1.EndpointPort{{Name: ptr.To("http"), Port: ptr.To[int32](8080)}},
	}
	for _, a := range addresses {
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{a}})
	}
	return s
}

// onPort is the slice with another target port.
func onPort(s discoveryv1.EndpointSlice, port int32) discoveryv1.EndpointSlice {
	s.Ports = []discoveryv1.EndpointPort{{Name: ptr.To("http"), Port: &port}}
	return s
}

func service(families ...corev1.IPFamily) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"}, Spec: corev1.ServiceSpec{IPFamilies: families}}
}

// publisher publishes so many endpoints per slice.
func publisher(size int) Publisher {
	return Publisher{Cluster: "east", HubNamespace: "hub", CIDRs: prefixes("10.1.0.0/16", "fd00:1::/64"), EndpointsPerSlice: size}
}

// fakeHub holds slices as an API server does: a write must name the version that it replaces.
type fakeHub struct {
	slices  []discoveryv1.EndpointSlice
	version int
	writes  int // that changed something
}

func (h *fakeHub) at(name string) int {
	return slices.IndexFunc(h.slices, func(s discoveryv1.EndpointSlice) bool { return s.Name == name })
}

func (h *fakeHub) put(s discoveryv1.EndpointSlice) error {
	i := h.at(s.Name)
	switch {
	case i < 0 && s.ResourceVersion != "", i >= 0 && h.slices[i].ResourceVersion != s.ResourceVersion:
		return fmt.Errorf("%s: not at version %q", s.Name, s.ResourceVersion)
	case i >= 0 && h.slices[i].AddressType != s.AddressType:
		return fmt.Errorf("%s: the address type is immutable", s.Name)
	case i >= 0 && mcs.SameSlice(&h.slices[i], &s):
		return nil
	}
	h.version++
	h.writes++
	s = *s.DeepCopy()
	s.ResourceVersion = strconv.Itoa(h.version)
	if i < 0 {
		h.slices = append(h.slices, s)
	} else {
		h.slices[i] = s
	}
	return nil
}

func (h *fakeHub) delete(s discoveryv1.EndpointSlice) error {
	i := h.at(s.Name)
	if i < 0 || h.slices[i].ResourceVersion != s.ResourceVersion {
		return fmt.Errorf("%s: not at version %q", s.Name, s.ResourceVersion)
	}
	h.version++
	h.writes++
	h.slices = slices.Delete(slices.Clone(h.slices), i, i+1)
	return nil
}

// snapshot is what a cache holds of the hub.
func (h *fakeHub) snapshot() []discoveryv1.EndpointSlice { return slices.Clone(h.slices) }

// apply does the writes one by one, in the order that Packing asks for. step comes after each;
// false: crash there.
func (h *fakeHub) apply(p Packing, step func() bool) bool {
	for _, writes := range []Writes{p.First, p.Then} {
		failed := false
		for _, s := range writes.Puts {
			failed = h.put(s) != nil || failed
			if !step() {
				return false
			}
		}
		for _, s := range writes.Deletes {
			failed = h.delete(s) != nil || failed
			if !step() {
				return false
			}
		}
		if failed {
			return false
		}
	}
	return true
}

// sync packs and applies, and returns how many writes that took.
func (h *fakeHub) sync(t *testing.T, p Publisher, service *corev1.Service, local ...discoveryv1.EndpointSlice) int {
	t.Helper()
	before := h.writes
	if !h.apply(p.Pack(service, p.Offer(service, local), h.snapshot()), func() bool { return true }) {
		t.Fatal("a write was refused")
	}
	return h.writes - before
}

// contents lists the slices in the order of their names: number, family, port, addresses.
func (h *fakeHub) contents() []string {
	var all []string
	for _, s := range byName(h.slices) {
		text := s.Name[strings.LastIndexByte(s.Name, '.')+1:] + " " + string(s.AddressType)
		for _, p := range s.Ports {
			text += fmt.Sprintf(" :%d", *p.Port)
		}
		for _, e := range s.Endpoints {
			text += " " + e.Addresses[0]
			if !ptr.Deref(e.Conditions.Ready, true) {
				text += "(unready)"
			}
		}
		all = append(all, text)
	}
	return all
}

func (h *fakeHub) want(t *testing.T, writes, wantWrites int, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, h.contents()); diff != "" {
		t.Errorf("slices (-want +got):\n%s", diff)
	}
	if writes != wantWrites {
		t.Errorf("%d writes, want %d", writes, wantWrites)
	}
}

func TestPack(t *testing.T) {
	v4, v6 := corev1.IPv4Protocol, corev1.IPv6Protocol
	unready := localSlice("b", "IPv4", "10.1.0.1")
	unready.Endpoints[0].Conditions.Ready = ptr.To(false)
	tests := []struct {
		name    string
		service *corev1.Service
		local   []discoveryv1.EndpointSlice
		want    []string
		skipped []string
	}{
		{"no slice, an empty one for the family", service(v4), nil, []string{"0 IPv4"}, nil},
		{"no slice, dual-stack", service(v6, v4), nil, []string{"0 IPv4", "1 IPv6"}, nil},
		{"one", service(v4), []discoveryv1.EndpointSlice{localSlice("a", "IPv4", "10.1.0.1", "10.1.0.2")}, []string{"0 IPv4 :8080 10.1.0.1 10.1.0.2"}, nil},
		{
			"several in one", service(v4),
			[]discoveryv1.EndpointSlice{localSlice("b", "IPv4", "10.1.0.2"), localSlice("a", "IPv4", "10.1.0.1")},
			[]string{"0 IPv4 :8080 10.1.0.1 10.1.0.2"}, nil,
		},
		{
			"up to the limit", service(v4), []discoveryv1.EndpointSlice{localSlice("a", "IPv4", "10.1.0.1", "10.1.0.2", "10.1.0.3", "10.1.0.4")},
			[]string{"0 IPv4 :8080 10.1.0.1 10.1.0.2 10.1.0.3", "1 IPv4 :8080 10.1.0.4"}, nil,
		},
		{
			"unequal ports apart", service(v4),
			[]discoveryv1.EndpointSlice{localSlice("a", "IPv4", "10.1.0.1"), onPort(localSlice("b", "IPv4", "10.1.0.1", "10.1.0.2"), 9090)},
			[]string{"0 IPv4 :8080 10.1.0.1", "1 IPv4 :9090 10.1.0.1 10.1.0.2"}, nil,
		},
		{
			"in two slices, the readier wins", service(v4),
			[]discoveryv1.EndpointSlice{unready, localSlice("c", "IPv4", "10.1.0.1")}, []string{"0 IPv4 :8080 10.1.0.1"}, nil,
		},
		{
			"dual-stack, one family without endpoints", service(v4, v6),
			[]discoveryv1.EndpointSlice{localSlice("a", "IPv6", "fd00:1::1")}, []string{"0 IPv4", "1 IPv6 :8080 fd00:1::1"}, nil,
		},
		{
			"outside of the approved CIDRs", service(v4),
			[]discoveryv1.EndpointSlice{localSlice("a", "IPv4", "10.9.0.2", "10.1.0.1", "10.9.0.1"), localSlice("b", "IPv4", "10.9.0.1")},
			[]string{"0 IPv4 :8080 10.1.0.1"}, []string{"UnapprovedAddress 3"},
		},
		{
			"host names are not published", service(v4),
			[]discoveryv1.EndpointSlice{localSlice("a", "FQDN", "example.com")}, []string{"0 IPv4"}, nil,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h, p := &fakeHub{}, publisher(3)
			h.want(t, h.sync(t, p, test.service, test.local...), len(test.want), test.want...)
			var skipped []string
			for _, s := range p.Offer(test.service, test.local).Skipped {
				skipped = append(skipped, fmt.Sprintf("%s %d", s.Reason, s.Count))
			}
			if diff := cmp.Diff(test.skipped, skipped); diff != "" {
				t.Errorf("skipped (-want +got):\n%s", diff)
			}
			if writes := h.sync(t, p, test.service, test.local...); writes != 0 {
				t.Errorf("%d writes though nothing changed", writes)
			}
			for _, s := range h.slices {
				if s.Labels[v1alpha1.LabelNamespace] != "shop" || s.Labels[discoveryv1.LabelServiceName] != "" || s.Namespace != "hub" {
					t.Errorf("slice %s is labelled wrongly: %v", s.Name, s.Labels)
				}
			}
		})
	}
}

// Two pods of a headless Service may have one address: that of their node.
func TestPackHostnames(t *testing.T) {
	h, local := &fakeHub{}, localSlice("a", "IPv4", "10.1.0.1", "10.1.0.1")
	local.Endpoints[0].Hostname, local.Endpoints[1].Hostname = ptr.To("web-0"), ptr.To("web-1")
	h.want(t, h.sync(t, publisher(3), service(corev1.IPv4Protocol), local), 1, "0 IPv4 :8080 10.1.0.1 10.1.0.1")
}

// The order of ports, and what is unset in them, makes no difference.
func TestPackPortsInAnyOrder(t *testing.T) {
	h, p, s := &fakeHub{}, publisher(3), service(corev1.IPv4Protocol)
	one, two := localSlice("a", "IPv4", "10.1.0.1"), localSlice("b", "IPv4", "10.1.0.2")
	dns := discoveryv1.EndpointPort{Name: ptr.To("dns"), Port: ptr.To[int32](53), Protocol: ptr.To(corev1.ProtocolUDP), AppProtocol: ptr.To("dns")}
	one.Ports = append(one.Ports, dns)
	two.Ports = append([]discoveryv1.EndpointPort{dns}, two.Ports...)
	two.Ports[1].Protocol = ptr.To(corev1.ProtocolTCP)
	h.want(t, h.sync(t, p, s, one, two), 1, "0 IPv4 :53 :8080 10.1.0.1 10.1.0.2")
	if got := h.slices[0].Ports[0]; *got.Protocol != corev1.ProtocolUDP || *got.AppProtocol != "dns" {
		t.Errorf("port %+v", got)
	}
}

func TestPackChanges(t *testing.T) {
	v4 := corev1.IPv4Protocol
	full := []string{"10.1.0.1", "10.1.0.2", "10.1.0.3", "10.1.0.4", "10.1.0.5", "10.1.0.6", "10.1.0.7"} // of 3: three slices
	unready := localSlice("a", "IPv4", full...)
	unready.Endpoints[4].Conditions.Ready = ptr.To(false)
	tests := []struct {
		name   string
		local  discoveryv1.EndpointSlice
		size   int
		writes int
		want   []string
	}{
		{
			"one changes readiness", unready, 3, 1,
			[]string{"0 IPv4 :8080 10.1.0.1 10.1.0.2 10.1.0.3", "1 IPv4 :8080 10.1.0.4 10.1.0.5(unready) 10.1.0.6", "2 IPv4 :8080 10.1.0.7"},
		},
		{
			"one goes", localSlice("a", "IPv4", "10.1.0.1", "10.1.0.3", "10.1.0.4", "10.1.0.5", "10.1.0.6", "10.1.0.7"), 3, 1,
			[]string{"0 IPv4 :8080 10.1.0.1 10.1.0.3", "1 IPv4 :8080 10.1.0.4 10.1.0.5 10.1.0.6", "2 IPv4 :8080 10.1.0.7"},
		},
		{
			"one comes, to the fullest with room", localSlice("a", "IPv4", append(slices.Clone(full), "10.1.0.0")...), 3, 1,
			[]string{"0 IPv4 :8080 10.1.0.1 10.1.0.2 10.1.0.3", "1 IPv4 :8080 10.1.0.4 10.1.0.5 10.1.0.6", "2 IPv4 :8080 10.1.0.7 10.1.0.0"},
		},
		{
			"three come, to a new one", localSlice("a", "IPv4", append(slices.Clone(full), "10.1.0.8", "10.1.0.9", "10.1.0.10")...), 3, 1,
			[]string{
				"0 IPv4 :8080 10.1.0.1 10.1.0.2 10.1.0.3", "1 IPv4 :8080 10.1.0.4 10.1.0.5 10.1.0.6", "2 IPv4 :8080 10.1.0.7",
				"3 IPv4 :8080 10.1.0.10 10.1.0.8 10.1.0.9",
			},
		},
		{
			"one is replaced, where it was", localSlice("a", "IPv4", "10.1.0.1", "10.1.0.2", "10.1.0.3", "10.1.0.8", "10.1.0.5", "10.1.0.6", "10.1.0.7"), 3, 1,
			[]string{"0 IPv4 :8080 10.1.0.1 10.1.0.2 10.1.0.3", "1 IPv4 :8080 10.1.0.5 10.1.0.6 10.1.0.8", "2 IPv4 :8080 10.1.0.7"},
		},
		{
			"the only one of a slice is replaced, where it was", localSlice("a", "IPv4", append(slices.Clone(full[:6]), "10.1.0.8")...), 3, 1,
			[]string{"0 IPv4 :8080 10.1.0.1 10.1.0.2 10.1.0.3", "1 IPv4 :8080 10.1.0.4 10.1.0.5 10.1.0.6", "2 IPv4 :8080 10.1.0.8"},
		},
		{
			"another target port, in place", onPort(localSlice("a", "IPv4", full...), 9090), 3, 3,
			[]string{"0 IPv4 :9090 10.1.0.1 10.1.0.2 10.1.0.3", "1 IPv4 :9090 10.1.0.4 10.1.0.5 10.1.0.6", "2 IPv4 :9090 10.1.0.7"},
		},
		{"all go, one slice stays", localSlice("a", "IPv4"), 3, 3, []string{"0 IPv4 :8080"}},
		{
			"a few stay in each, which is gross", localSlice("a", "IPv4", "10.1.0.2", "10.1.0.4", "10.1.0.7"), 3, 3,
			[]string{"0 IPv4 :8080 10.1.0.2 10.1.0.4 10.1.0.7"},
		},
		{
			"smaller slices", localSlice("a", "IPv4", full...), 2, 3,
			[]string{
				"0 IPv4 :8080 10.1.0.1 10.1.0.2", "1 IPv4 :8080 10.1.0.4 10.1.0.5", "2 IPv4 :8080 10.1.0.7", "3 IPv4 :8080 10.1.0.3 10.1.0.6",
			},
		},
		{
			"larger slices", localSlice("a", "IPv4", full...), 100, 3,
			[]string{"0 IPv4 :8080 10.1.0.1 10.1.0.2 10.1.0.3 10.1.0.4 10.1.0.5 10.1.0.6 10.1.0.7"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := &fakeHub{}
			h.sync(t, publisher(3), service(v4), localSlice("a", "IPv4", full...))
			h.want(t, h.sync(t, publisher(test.size), service(v4), test.local), test.writes, test.want...)
		})
	}
}

// What others named, labelled or made of another family is put right, and no name is used twice.
func TestPackForeignSlices(t *testing.T) {
	p, s, h := publisher(3), service(corev1.IPv4Protocol), &fakeHub{}
	base := clusterset.HubName("east", "shop", "web")
	relabelled := localSlice(base+".7", "IPv4", "10.1.0.1") // as an older version numbered it, without labels
	other := localSlice(clusterset.HubName("east", "shop", "api")+".0", "IPv4", "10.1.0.1")
	names := localSlice(base+".0", "FQDN", "example.com")
	for _, s := range []discoveryv1.EndpointSlice{relabelled, other, names} {
		if err := h.put(s); err != nil {
			t.Fatal(err)
		}
	}
	h.want(t, h.sync(t, p, s, localSlice("a", "IPv4", "10.1.0.1", "10.1.0.2", "10.1.0.3", "10.1.0.4")), 4,
		"1 IPv4 :8080 10.1.0.4", "7 IPv4 :8080 10.1.0.1 10.1.0.2 10.1.0.3")
	if i := h.at(base + ".7"); h.slices[i].Labels[v1alpha1.LabelNamespace] != "shop" {
		t.Errorf("labels %v", h.slices[i].Labels)
	}
}

// A family that the Service no longer has keeps an empty slice: others must see that its endpoints
// are gone.
func TestPackLosesFamily(t *testing.T) {
	p, h := publisher(3), &fakeHub{}
	h.sync(t, p, service(corev1.IPv4Protocol, corev1.IPv6Protocol), localSlice("a", "IPv4", "10.1.0.1"), localSlice("b", "IPv6", "fd00:1::1"))
	h.want(t, h.sync(t, p, service(corev1.IPv4Protocol), localSlice("a", "IPv4", "10.1.0.1")), 1, "0 IPv4 :8080 10.1.0.1", "1 IPv6 :8080")
}

// randomLocal returns local slices with some of so many addresses, some of them in two slices, in
// some order.
func randomLocal(r *rand.Rand, addresses int) []discoveryv1.EndpointSlice {
	local := []discoveryv1.EndpointSlice{
		localSlice("a", "IPv4"), localSlice("b", "IPv4"), onPort(localSlice("c", "IPv4"), 9090), localSlice("d", "IPv6"),
	}
	share := r.Float64()
	for n := range addresses {
		for range 2 {
			if r.Float64() > share {
				continue
			}
			i := r.IntN(len(local))
			address := fmt.Sprintf("10.1.%d.%d", n/256, n%256)
			if local[i].AddressType == discoveryv1.AddressTypeIPv6 {
				address = fmt.Sprintf("fd00:1::%x", n+1) // as it is written shortest
			}
			local[i].Endpoints = append(local[i].Endpoints, discoveryv1.Endpoint{
				Addresses: []string{address}, Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(r.IntN(2) == 0)},
			})
		}
	}
	r.Shuffle(len(local), func(i, j int) { local[i], local[j] = local[j], local[i] })
	return local
}

// held are the endpoints, with ports and state, and how often each is there.
func held(all []discoveryv1.EndpointSlice) map[string]int {
	found := map[string]int{}
	for _, s := range all {
		_, ports := canonicalPorts(s.Ports)
		for _, e := range s.Endpoints {
			found[fmt.Sprintf("%s %s ready=%v", ports, e.Addresses[0], *e.Conditions.Ready)]++
		}
	}
	return found
}

func offered(o Offer) map[string]int {
	found := map[string]int{}
	for _, g := range o.groups {
		_, ports := canonicalPorts(g.ports)
		for _, e := range g.endpoints {
			found[fmt.Sprintf("%s %s ready=%v", ports, e.Addresses[0], *e.Conditions.Ready)]++
		}
	}
	return found
}

// checkPacked checks that the hub holds just what is offered, each endpoint once, within the limit
// and not grossly fragmented, and that nothing more is to be written.
func checkPacked(t *testing.T, h *fakeHub, p Publisher, s *corev1.Service, offer Offer) {
	t.Helper()
	if diff := cmp.Diff(offered(offer), held(h.slices)); diff != "" {
		t.Fatalf("endpoints (-want +got):\n%s", diff)
	}
	inGroup := map[portGroup]int{}
	families := map[discoveryv1.AddressType]bool{}
	for _, slice := range h.slices {
		families[slice.AddressType] = true
		if len(slice.Endpoints) > p.EndpointsPerSlice {
			t.Fatalf("%s holds %d endpoints", slice.Name, len(slice.Endpoints))
		}
		_, ports := canonicalPorts(slice.Ports)
		inGroup[portGroup{slice.AddressType, groupText(ports, clusterset.External(slice.Labels))}]++
	}
	for key, g := range offer.groups {
		if n := ceil(len(g.endpoints), p.EndpointsPerSlice); inGroup[key] > gross*n {
			t.Fatalf("%d slices for %d endpoints", inGroup[key], len(g.endpoints))
		}
	}
	for _, f := range s.Spec.IPFamilies {
		if !families[discoveryv1.AddressType(f)] {
			t.Fatalf("no slice for %s", f)
		}
	}
	if again := p.Pack(s, offer, h.snapshot()); !again.None() {
		t.Fatalf("to be written again: %+v", again)
	}
}

func TestPackProperties(t *testing.T) {
	s := service(corev1.IPv4Protocol, corev1.IPv6Protocol)
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 1))
		h := &fakeHub{}
		for range 8 {
			p := publisher(1 + r.IntN(6))
			local := randomLocal(r, 1+r.IntN(40))
			offer := p.Offer(s, local)
			packing := p.Pack(s, offer, h.snapshot())

			shuffled := h.snapshot()
			r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
			slices.Reverse(local)
			if diff := cmp.Diff(packing, p.Pack(s, p.Offer(s, local), shuffled)); diff != "" {
				t.Fatalf("seed %d: the order of the input matters (-before +after):\n%s", seed, diff)
			}
			if !h.apply(packing, func() bool { return true }) {
				t.Fatalf("seed %d: a write was refused", seed)
			}
			checkPacked(t, h, p, s, offer)

			changed := slices.Clone(local)
			for i := range changed {
				changed[i] = *changed[i].DeepCopy()
			}
			flip(offer, changed)
			if writes := h.sync(t, p, s, changed...); writes != 1 && len(offered(offer)) > 0 {
				t.Fatalf("seed %d: %d writes for one endpoint", seed, writes)
			}
			checkPacked(t, h, p, s, p.Offer(s, changed))
		}
	}
}

// flip changes the readiness of one endpoint, wherever it is.
func flip(offer Offer, local []discoveryv1.EndpointSlice) {
	for _, key := range slices.SortedFunc(maps.Keys(offer.groups), portGroup.compare) {
		g := offer.groups[key]
		id := slices.SortedFunc(maps.Keys(g.endpoints), endpointID.compare)[0]
		ready := !*g.endpoints[id].Conditions.Ready
		for i := range local {
			if _, ports := canonicalPorts(local[i].Ports); ports != g.text {
				continue
			}
			for j := range local[i].Endpoints {
				if idOf(&local[i].Endpoints[j]) == id {
					local[i].Endpoints[j].Conditions.Ready = &ready
				}
			}
		}
		return
	}
}

// Whatever moment the cache shows, and wherever the operator crashes: an address that is offered
// all the time, and has been on the hub once, is never absent from it; and in the end all is well.
func TestPackWithStaleCache(t *testing.T) {
	s := service(corev1.IPv4Protocol, corev1.IPv6Protocol)
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 2))
		h := &fakeHub{}
		history := [][]discoveryv1.EndpointSlice{nil}
		p, local := publisher(3), randomLocal(r, 30)
		for range 40 {
			if r.IntN(3) == 0 {
				p, local = publisher(1+r.IntN(6)), randomLocal(r, 30)
			}
			offer := p.Offer(s, local)
			seen := history[max(0, len(history)-1-r.IntN(6))]
			must := bothIn(h.slices, offer)
			h.apply(p.Pack(s, offer, seen), func() bool {
				history = append(history, h.snapshot())
				there := addressesOf(h.slices)
				for a := range must {
					if !there[a] {
						t.Fatalf("seed %d: %s is absent; hub:\n%s", seed, a, strings.Join(h.contents(), "\n"))
					}
				}
				return r.IntN(12) != 0
			})
		}
		h.sync(t, p, s, local...)
		checkPacked(t, h, p, s, p.Offer(s, local))
	}
}

func addressesOf(all []discoveryv1.EndpointSlice) map[string]bool {
	found := map[string]bool{}
	for _, s := range all {
		for a := range addresses(s.Endpoints) {
			found[a] = true
		}
	}
	return found
}

// bothIn are the addresses that the hub has and that are offered.
func bothIn(have []discoveryv1.EndpointSlice, offer Offer) map[string]bool {
	offered, both := map[string]bool{}, map[string]bool{}
	for _, g := range offer.groups {
		for id := range g.endpoints {
			offered[id.address] = true
		}
	}
	for a := range addressesOf(have) {
		if offered[a] {
			both[a] = true
		}
	}
	return both
}

func named(names ...string) []discoveryv1.EndpointSlice {
	var found []discoveryv1.EndpointSlice
	for _, name := range names {
		found = append(found, discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	return found
}

func TestPackingAfter(t *testing.T) {
	packing := Packing{
		First: Writes{Puts: named("new", "changed"), Deletes: named("gone")},
		Then:  Writes{Puts: named("emptied"), Deletes: named("gone-later")},
	}
	got := clusterset.SliceSet(packing.After(named("changed", "gone", "emptied", "gone-later", "untouched")))
	if want := clusterset.SliceSet(named("new", "changed", "emptied", "untouched")); got != want {
		t.Errorf("slice set %s, want %s", got, want)
	}
}

// The hub is told when the endpoints changed, with the slice that changed, and nothing is written
// for that alone.
func TestPackTellsWhenItChanged(t *testing.T) {
	first, second := time.Date(2026, 11, 1, 12, 0, 0, 5, time.UTC), time.Date(2026, 11, 1, 12, 0, 1, 0, time.UTC)
	told := func(at time.Time, addresses ...string) discoveryv1.EndpointSlice {
		s := localSlice("web-1", discoveryv1.AddressTypeIPv4, addresses...)
		mcs.SetTrigger(&s, at)
		return s
	}
	p, svc := publisher(2), service(corev1.IPv4Protocol)
	pack := func(have []discoveryv1.EndpointSlice, local ...discoveryv1.EndpointSlice) Packing {
		return p.Pack(svc, p.Offer(svc, local), have)
	}
	have := pack(nil, told(first, "10.1.0.1", "10.1.0.2", "10.1.0.3"), localSlice("by-hand", discoveryv1.AddressTypeIPv4)).First.Puts
	if len(have) != 2 || !mcs.TriggerOf(have[0].Annotations).Equal(first) {
		t.Fatalf("the hub gets %+v", have)
	}
	for i := range have {
		have[i].ResourceVersion = "1"
	}
	if again := pack(have, told(second, "10.1.0.1", "10.1.0.2", "10.1.0.3")); !again.None() {
		t.Errorf("another time alone is written: %+v", again)
	}
	if puts := pack(have, told(second, "10.1.0.1", "10.1.0.2", "10.1.0.4")).First.Puts; len(puts) != 1 || !mcs.TriggerOf(puts[0].Annotations).Equal(second) {
		t.Errorf("after the change the hub gets %+v", puts)
	}
	if puts := pack(have, told(time.Time{}, "10.1.0.1", "10.1.0.2", "10.1.0.4")).First.Puts; len(puts) != 1 || puts[0].Annotations != nil {
		t.Errorf("after a change of unknown time the hub gets %+v", puts)
	}
}
