package plan

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// words of what is skipped, up to the remedy.
func words(skipped []Skipped) []string {
	var all []string
	for _, s := range skipped {
		why, _, _ := strings.Cut(s.Why, ":")
		all = append(all, s.What+": "+why)
	}
	return all
}

func TestSkippedEndpoints(t *testing.T) {
	s := newScene(t, "west 10.2.0.1",
		"east 127.0.0.1", "east 169.254.1.1", "east 224.0.0.1", "east 0.0.0.0", "east 255.255.255.255", "east 244.0.9.9", "east fd77::5",
		"east ::ffff:10.1.0.9", "east ::1", "east fe80::1", "east fe80::1%eth0", "east fd01::1%eth0", "east ff02::1", "east ::",
		"east 192.0.2.1", "west 192.0.2.1", "west 192.0.2.2 node=worker", "east 10.1.0.1")
	s.Place.Addresses = []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")}
	s.Import.Spec.IPs = []string{"244.0.0.1", "fd77::1"}
	s.Slices[0].Endpoints = append(s.Slices[0].Endpoints, ready("nonsense"), ready("fd02::1"), discoveryv1.Endpoint{}, ready(strings.Repeat("x", 500)))
	s.wants(0, "10.1.0.1*1 10.2.0.1*1 192.0.2.1*1 192.0.2.2*1")
	if n := len(s.last.Services[1].Destinations); n != 0 {
		t.Errorf("%d endpoints of IPv6", n)
	}
	want := []string{
		`endpoint "0.0.0.0" of cluster east: it is the unspecified address`,
		`endpoint "127.0.0.1" of cluster east: it is a loopback address, which every node takes for its own`,
		`endpoint "169.254.1.1" of cluster east: it is a link-local address, which means something on its own link only`,
		`endpoint "192.0.2.1" of cluster east: it is this node's own address, yet another cluster's endpoint`,
		`endpoint "224.0.0.1" of cluster east: it is a multicast address`,
		`endpoint "244.0.9.9" of cluster east: it is inside a VIP CIDR, so that flows to it would go in circles`,
		`endpoint "255.255.255.255" of cluster east: it is the broadcast address`,
		`endpoint "::" of cluster east: it is the unspecified address`,
		`endpoint "::1" of cluster east: it is a loopback address, which every node takes for its own`,
		`endpoint "::ffff:10.1.0.9" of cluster east: it is an IPv4 address written as IPv6, which no packet carries`,
		`endpoint "fd01::1%eth0" of cluster east: it has a zone, which means something on its own node only`,
		`endpoint "fd77::5" of cluster east: it is inside a VIP CIDR, so that flows to it would go in circles`,
		`endpoint "fe80::1" of cluster east: it is a link-local address, which means something on its own link only`,
		`endpoint "fe80::1%eth0" of cluster east: it has a zone, which means something on its own node only`,
		`endpoint "ff02::1" of cluster east: it is a multicast address`,
		`endpoint "" of cluster west: it has no address`,
		`endpoint "fd02::1" of cluster west: it is not of its slice's addressType`,
		`endpoint "nonsense" of cluster west: it is not an IP address`,
		`endpoint "` + strings.Repeat("x", 64) + `..." of cluster west: it is not an IP address`,
	}
	if diff := cmp.Diff(want, words(s.last.Skipped)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// TestEndpointsOutsideTheirCluster: whoever may write EndpointSlices puts no address behind an import
// that is not the cluster's which the slice names.
func TestEndpointsOutsideTheirCluster(t *testing.T) {
	s := newScene(t, "west 10.2.0.1", "west 10.1.0.9", "west 203.0.113.7", "east 10.1.0.1", "east 10.2.0.9", "east 169.254.169.253", "nowhere 10.3.0.1")
	s.Place.CIDRs = map[v1alpha1.ClusterID][]netip.Prefix{"west": {netip.MustParsePrefix("10.2.0.0/16")}, "east": {netip.MustParsePrefix("10.1.0.0/16")}}
	s.wants(0, "10.1.0.1*1 10.2.0.1*1")
	want := []string{
		`endpoint "10.2.0.9" of cluster east: it is outside its cluster's CIDRs`,
		`endpoint "169.254.169.253" of cluster east: it is a link-local address, which means something on its own link only`,
		`endpoint "10.3.0.1" of cluster nowhere: it is outside its cluster's CIDRs`,
		`endpoint "10.1.0.9" of cluster west: it is outside its cluster's CIDRs`,
		`endpoint "203.0.113.7" of cluster west: it is outside its cluster's CIDRs`,
	}
	if diff := cmp.Diff(want, words(s.last.Skipped)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestSkippedPorts(t *testing.T) {
	s := newScene(t, "west 10.2.0.1")
	s.Import.Spec.Ports = []mcsv1beta1.ServicePort{
		port("http", "TCP", 80), port("again", "TCP", 80), port("http", "UDP", 80), port("http", "TCP", 81), port("", "", 80),
		port("dns", "UDP", 80), port("none", "TCP", 0), port("huge", "TCP", 70000), port("less", "TCP", -1), port("odd", "ICMP", 1),
		port("after", "TCP", 81), // 81 is free: the one above is not served
	}
	out := Services(s.Input)
	if got := fmt.Sprint(text(out.Services)); got != "[TCP 244.0.0.1:80 Random -> 10.2.0.1:8080*1 here TCP 244.0.0.1:81 Random UDP 244.0.0.1:80 Random]" {
		t.Error(got)
	}
	want := []string{
		`port -1/TCP "less": it is not from 1 to 65535`,
		`port 0/TCP "none": it is not from 1 to 65535`,
		`port 1/ICMP "odd": its protocol is not TCP, UDP or SCTP`,
		`port 70000/TCP "huge": it is not from 1 to 65535`,
		`port 80/TCP "": another port has its number, and only the first is served`,
		`port 80/TCP "again": another port has its number, and only the first is served`,
		`port 80/UDP "http": another port has its name, and only the first is served`,
		`port 81/TCP "http": another port has its name, and only the first is served`,
	}
	if diff := cmp.Diff(want, words(out.Skipped)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestSkippedAddresses(t *testing.T) {
	s := newScene(t, "west 10.2.0.1", "west fd02::1")
	s.Import.Spec.IPs = []string{"244.0.0.1", "245.0.0.1", "244.0.0.1", "nonsense", "fd78::1"}
	s.wants(0, "10.2.0.1*1")
	want := []string{
		`clusterset IP "244.0.0.1": the ServiceImport has it twice`,
		`clusterset IP "245.0.0.1": it is outside the VIP CIDRs that this node serves, so that no flow to it gets here`,
		`clusterset IP "fd78::1": it is outside the VIP CIDRs that this node serves, so that no flow to it gets here`,
		`clusterset IP "nonsense": it is not an IP address`,
	}
	if diff := cmp.Diff(want, words(s.last.Skipped)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	// A node without the family has no clients of it either, and says nothing.
	s.Import.Spec.IPs = []string{"244.0.0.1", "fd77::1"}
	s.Place.VIPs = s.Place.VIPs[:1]
	s.wants(0, "10.2.0.1*1")
	if len(s.last.Skipped)+len(s.last.Services) != 1 {
		t.Errorf("%+v", s.last)
	}
	// An import without the family says so.
	s.Import.Spec.IPs = s.Import.Spec.IPs[:1]
	s.wants(0, "10.2.0.1*1")
	if diff := cmp.Diff([]string{"IPv6 endpoints: the ServiceImport has no clusterset IP of that family"}, words(s.last.Skipped)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestSkippedSlices(t *testing.T) {
	s := newScene(t, "west 10.2.0.1")
	names := func(name string, edit func(*discoveryv1.EndpointSlice)) {
		other := s.Slices[0].DeepCopy()
		other.Name = name
		edit(other)
		s.Slices = append(s.Slices, other)
	}
	names("fqdn", func(s *discoveryv1.EndpointSlice) { s.AddressType = discoveryv1.AddressTypeFQDN })
	names("whose", func(s *discoveryv1.EndpointSlice) { delete(s.Labels, "multicluster.kubernetes.io/source-cluster") })
	names("goes", func(s *discoveryv1.EndpointSlice) {
		s.DeletionTimestamp = &metav1.Time{Time: time.Now()}
		s.Endpoints[0].Addresses[0] = "10.2.0.2"
	})
	names("other", func(s *discoveryv1.EndpointSlice) {
		s.Labels[discoveryv1.LabelManagedBy] = "somebody"
		s.Endpoints[0].Addresses[0] = "10.2.0.3"
	})
	s.Slices = append(s.Slices, nil)
	s.wants(0, "10.2.0.1*1")
	want := []string{
		"EndpointSlice fqdn: its addressType is neither IPv4 nor IPv6",
		"EndpointSlice whose: it does not say which cluster it comes from (label multicluster.kubernetes.io/source-cluster)",
	}
	if diff := cmp.Diff(want, words(s.last.Skipped)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// However much is skipped, few lines say so, and the rest is served.
func TestSkippedMany(t *testing.T) {
	all := []string{"west 10.2.0.1"}
	for i := range 500 {
		all = append(all, fmt.Sprintf("east 127.0.%d.%d", i/250, i%250), fmt.Sprintf("east 127.0.%d.%d", i/250, i%250))
	}
	s := newScene(t, all...)
	s.wants(0, "10.2.0.1*1")
	if n := len(s.last.Skipped); n != maxSkipped+1 || s.last.Skipped[maxSkipped].What != "480 more" {
		t.Errorf("%d lines, the last one %+v", n, s.last.Skipped[n-1])
	}
	count := 0
	for _, skipped := range s.last.Skipped {
		count += skipped.Count
	}
	if count != 500 {
		t.Errorf("%d are counted, want 500: each once", count)
	}
}

// An endpoint that several slices hold counts once, in its best state.
func TestTwice(t *testing.T) {
	s := newScene(t, "west 10.2.0.1 unready", "west 10.2.0.1", "west 10.2.0.1 leaving", "west 10.2.0.2 port=9", "west 10.2.0.2", "east 10.2.0.1", "west 10.2.0.3 gone", "west 10.2.0.3 unready")
	s.wants(0, "10.2.0.1*1 10.2.0.2:9*1 10.2.0.2*1")
	// One that never gets flows is no better state, whatever the order.
	s = newScene(t, "north 10.2.0.1", "east 10.2.0.1", "east 10.2.0.2", "north 10.2.0.2").policy(func(p *v1alpha1.TrafficPolicySpec) { p.Weights = weights("north", 0) })
	s.unreachable("east")
	s.wants(0, "10.2.0.1*1 10.2.0.2*1")
}

func TestManyEndpoints(t *testing.T) {
	in := spread(map[string]int{"east": 5000, "north": 2000, "west": 1000})
	out := Services(in)
	if n := len(out.Services[0].Destinations); n != 8000 || len(out.Skipped) > 0 {
		t.Errorf("%d destinations, skipped %v", n, out.Skipped)
	}
	in.Slices = nil
	in.Memory = out.Memory
	if out = Services(in); len(out.Services) != 1 || len(out.Services[0].Destinations) != 0 {
		t.Errorf("%+v", out.Services)
	}
}

// TestSliceOfAnotherImport: endpoints in a slice that the ServiceImport does not own get no flows, as of
// an earlier ServiceImport of that name.
func TestSliceOfAnotherImport(t *testing.T) {
	s := newScene(t, "west 10.2.0.1", "east 10.1.0.1")
	own := s.Slices[1].OwnerReferences
	for _, owners := range [][]metav1.OwnerReference{nil, {{UID: "earlier"}}, {{UID: "earlier"}, own[0]}} {
		s.Slices[1].OwnerReferences = owners
		if len(owners) == 2 {
			s.wants(0, "10.1.0.1*1 10.2.0.1*1")
			continue
		}
		s.wants(0, "10.2.0.1*1")
		want := []string{"EndpointSlice east.web-IPv4-8080: it does not belong to this ServiceImport (metadata.ownerReferences)"}
		if diff := cmp.Diff(want, words(s.last.Skipped)); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}
}
