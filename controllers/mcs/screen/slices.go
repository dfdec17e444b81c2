package screen

import (
	"fmt"
	"net/netip"
	"strings"

	discoveryv1 "k8s.io/api/discovery/v1"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/utils/ptr"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

const (
	// maxName is the length of a DNS name (RFC 1035, without the trailing dot).
	maxName = 253
	// maxSlicePorts is how many ports of a slice are kept: as many as an export may have.
	maxSlicePorts = maxPorts
)

// Endpoints returns copies of those endpoints of a slice from the hub that may be imported, and
// what was left out, one Skipped for each reason. Our API server accepts what is returned.
//
// An endpoint must have an address of the slice's family that lies in one of cidrs, its cluster's,
// and that other clusters can reach (clusterset.FaultOf). Of several addresses only the first has a
// meaning (discovery/v1). A field of an endpoint is left out if it is not valid: hostname, zone or
// node name. The same goes for a hostname that makes the endpoint's name in clusterset.local too
// long. Hints and target references have a meaning only in the cluster that they come from.
func Endpoints(slice *discoveryv1.EndpointSlice, cidrs []netip.Prefix) ([]discoveryv1.Endpoint, []Skipped) {
	skipped := tally{slice: slice.Name}
	if slice.AddressType != discoveryv1.AddressTypeIPv4 && slice.AddressType != discoveryv1.AddressTypeIPv6 {
		skipped.add(SkippedSlice, fmt.Sprintf("its addressType %s is neither IPv4 nor IPv6", quote(string(slice.AddressType))),
			"publish endpoints by IP address")
		return nil, skipped.found
	}
	usable := make([]discoveryv1.Endpoint, 0, len(slice.Endpoints))
	suffix := dnsSuffix(slice)
	for i := range slice.Endpoints {
		e := &slice.Endpoints[i]
		addr, ok := skipped.address(e.Addresses, slice.AddressType, cidrs)
		if !ok {
			continue
		}
		usable = append(usable, discoveryv1.Endpoint{
			Addresses:  []string{addr.String()},
			Conditions: *e.Conditions.DeepCopy(),
			Hostname:   skipped.field("hostname", e.Hostname, addr, func(s string) bool { return validHostname(s, suffix) }),
			NodeName:   skipped.field("nodeName", e.NodeName, addr, func(s string) bool { return len(utilvalidation.IsDNS1123Subdomain(s)) == 0 }),
			Zone:       skipped.field("zone", e.Zone, addr, func(s string) bool { return s != "" && len(utilvalidation.IsValidLabelValue(s)) == 0 }),
		})
	}
	return usable, skipped.found
}

// Ports returns copies of those ports of a slice from the hub that may be imported, and what was
// left out. If our API server would refuse a port's application protocol, the port stays without
// it: it is only a hint.
func Ports(slice *discoveryv1.EndpointSlice) ([]discoveryv1.EndpointPort, []Skipped) {
	skipped := tally{slice: slice.Name}
	names := map[string]bool{}
	var usable []discoveryv1.EndpointPort
	for i := range slice.Ports {
		p := *slice.Ports[i].DeepCopy()
		name, protocol := ptr.Deref(p.Name, ""), ptr.Deref(p.Protocol, "TCP")
		number := ptr.Deref(p.Port, 1) // a port without number is valid, and is not served here
		fault := portFault(name, number)
		switch {
		case len(usable) == maxSlicePorts:
			fault = fmt.Sprintf("there are more than %d", maxSlicePorts)
		case !clusterset.KnownProtocol(protocol):
			fault = fmt.Sprintf("protocol %s of port %d is not TCP, UDP or SCTP", quote(string(protocol)), number)
		case names[name]:
			fault = fmt.Sprintf("two ports have the name %s", quote(name))
		}
		if fault != "" {
			skipped.add(SkippedPort, fault, "correct the Service's ports")
			continue
		}
		if p.AppProtocol != nil && len(utilvalidation.IsQualifiedName(*p.AppProtocol)) > 0 {
			skipped.add(SkippedPort, fmt.Sprintf("appProtocol %s of port %d is not a qualified name", quote(*p.AppProtocol), number), "correct the Service's ports")
			p.AppProtocol = nil
		}
		names[name] = true
		usable = append(usable, p)
	}
	return usable, skipped.found
}

// dnsSuffix follows the hostname in the name of an endpoint (KEP-1645 specification, "Multicluster
// Headless Service").
func dnsSuffix(slice *discoveryv1.EndpointSlice) string {
	return "." + strings.Join([]string{string(clusterset.SourceCluster(slice.Labels)), slice.Labels[v1alpha1.LabelServiceName],
		slice.Labels[v1alpha1.LabelNamespace], "svc", "clusterset", "local"}, ".")
}

func validHostname(hostname, suffix string) bool {
	return len(utilvalidation.IsDNS1123Label(hostname)) == 0 && len(hostname)+len(suffix) <= maxName
}

// tally collects what is skipped of one slice: for each reason the first example, and how many
// there are.
type tally struct {
	slice string
	found []Skipped
}

func (t *tally) add(reason, example, remedy string) {
	for i := range t.found {
		if t.found[i].Reason == reason {
			t.found[i].Count++
			return
		}
	}
	t.found = append(t.found, Skipped{reason, fmt.Sprintf("EndpointSlice %s: %s: %s", t.slice, example, remedy), 1})
}

// address is the endpoint's address, if it may be imported.
func (t *tally) address(addresses []string, family discoveryv1.AddressType, cidrs []netip.Prefix) (netip.Addr, bool) {
	if len(addresses) == 0 {
		t.add(SkippedAddress, "an endpoint has no address", "publish endpoints by IP address")
		return netip.Addr{}, false
	}
	addr, err := netip.ParseAddr(addresses[0])
	var fault string
	switch {
	case err != nil:
		fault = "is not an IP address"
	case addr.Is4() != (family == discoveryv1.AddressTypeIPv4) && !addr.Is4In6():
		fault = "is not of the slice's addressType " + string(family)
	default:
		fault = string(clusterset.FaultOf(addr))
	}
	switch {
	case fault != "":
		t.add(SkippedAddress, fmt.Sprintf("address %s %s", quote(addresses[0]), fault), "publish addresses at which other clusters reach the endpoint")
		return netip.Addr{}, false
	case !clusterset.Contains(cidrs, addr):
		t.add(SkippedUnapproved, fmt.Sprintf("address %s is outside its cluster's approved CIDRs (%s)", addr, clusterset.Clip(clusterset.JoinPrefixes(cidrs), listShown)),
			"have the clusterset's admin add it to Member.spec.cidrs")
		return netip.Addr{}, false
	}
	return addr, true
}

// field is a copy of an endpoint's field, or nil if it is not valid.
func (t *tally) field(name string, value *string, addr netip.Addr, valid func(string) bool) *string {
	if value == nil {
		return nil
	}
	if !valid(*value) {
		t.add(SkippedEndpointField, fmt.Sprintf("%s %s of endpoint %s is not valid, or too long, and is left out", name, quote(*value), addr),
			"correct it in the Service's own cluster")
		return nil
	}
	return ptr.To(*value)
}
