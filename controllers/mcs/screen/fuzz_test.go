package screen

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"testing"

	discoveryv1 "k8s.io/api/discovery/v1"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/utils/ptr"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// FuzzScreenEndpoints: whatever is published under whatever CIDRs, nothing panics, and the API
// server takes what passes.
func FuzzScreenEndpoints(f *testing.F) {
	for _, address := range []string{"10.1.0.1", "::ffff:10.1.0.1", "fe80::1%eth0", "127.0.0.1", "FD00::1", "01.2.3.4", ""} {
		for _, family := range []discoveryv1.AddressType{"IPv4", "IPv6", "FQDN"} {
			slice := sliceOf(family, address, address)
			slice.Endpoints[0].Hostname, slice.Endpoints[0].Zone, slice.Endpoints[0].NodeName = ptr.To("web-0"), ptr.To("eu"), ptr.To("n.1")
			slice.Ports = []discoveryv1.EndpointPort{{Name: ptr.To("http"), Port: ptr.To[int32](80), AppProtocol: ptr.To("a/b")}}
			text, err := json.Marshal(slice)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		slice := &discoveryv1.EndpointSlice{}
		if json.Unmarshal(text, slice) != nil {
			t.Skip()
		}
		endpoints, skipped := Endpoints(slice, everything)
		ports, skippedPorts := Ports(slice)
		for i := range endpoints {
			checkEndpoint(t, slice, &endpoints[i])
		}
		checkPorts(t, ports)
		count := 0
		for _, s := range slices.Concat(skipped, skippedPorts) {
			if s.Count < 1 || s.Reason == "" || !strings.Contains(s.Message, slice.Name) || len(s.Message) > 1500+len(slice.Name) {
				t.Errorf("skipped %+v", s)
			}
			if s.Reason == SkippedAddress || s.Reason == SkippedUnapproved {
				count += s.Count
			}
		}
		if known := slice.AddressType == "IPv4" || slice.AddressType == "IPv6"; known && len(endpoints)+count != len(slice.Endpoints) {
			t.Errorf("of %d endpoints %d passed and %d were skipped", len(slice.Endpoints), len(endpoints), count)
		}
	})
}

// checkEndpoint has the rules of discovery/v1's validation, as far as they concern what we write.
func checkEndpoint(t *testing.T, slice *discoveryv1.EndpointSlice, e *discoveryv1.Endpoint) {
	t.Helper()
	if len(e.Addresses) != 1 || len(utilvalidation.IsValidIP(field.NewPath("addresses"), e.Addresses[0])) > 0 {
		t.Errorf("the API server would refuse addresses %q", e.Addresses)
	}
	addr := netip.MustParseAddr(e.Addresses[0])
	if addr.Is4() != (slice.AddressType == discoveryv1.AddressTypeIPv4) || !addr.IsGlobalUnicast() || addr.Zone() != "" {
		t.Errorf("address %s in a slice of %s", addr, slice.AddressType)
	}
	if e.Hostname != nil {
		full := *e.Hostname + dnsSuffix(slice)
		if len(utilvalidation.IsDNS1123Label(*e.Hostname)) > 0 || len(full) > 253 {
			t.Errorf("hostname %q, in full %q", *e.Hostname, full)
		}
	}
	if e.NodeName != nil && len(utilvalidation.IsDNS1123Subdomain(*e.NodeName)) > 0 || e.Zone != nil && len(utilvalidation.IsValidLabelValue(*e.Zone)) > 0 {
		t.Errorf("node %v, zone %v", e.NodeName, e.Zone)
	}
	if e.Hints != nil || e.TargetRef != nil || e.DeprecatedTopology != nil {
		t.Errorf("more than what is ours: %+v", e)
	}
}

func checkPorts(t *testing.T, ports []discoveryv1.EndpointPort) {
	t.Helper()
	names := map[string]bool{}
	for _, p := range ports {
		name := ptr.Deref(p.Name, "")
		if names[name] || name != "" && len(utilvalidation.IsDNS1123Label(name)) > 0 ||
			!clusterset.KnownProtocol(ptr.Deref(p.Protocol, "TCP")) || len(utilvalidation.IsValidPortNum(int(ptr.Deref(p.Port, 1)))) > 0 ||
			p.AppProtocol != nil && len(utilvalidation.IsQualifiedName(*p.AppProtocol)) > 0 {
			t.Errorf("the API server would refuse port %+v", p)
		}
		names[name] = true
	}
}

// FuzzScreenGateway: a gateway that passes can be written into a RemoteCluster.
func FuzzScreenGateway(f *testing.F) {
	f.Add(`{"spec":{"nodeName":"n","publicKey":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE=","endpoints":[{"address":"::1","port":1},{"address":"192.0.2.1","port":65535}]}}`)
	f.Add(`{"spec":{"nodeName":"n","publicKey":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE=","endpoints":[{"address":"192.0.2.1","port":51820}]},"status":{"lane":70}}`)
	f.Fuzz(func(t *testing.T, text string) {
		node := &v1alpha1.GatewayNode{}
		if json.Unmarshal([]byte(text), node) != nil {
			t.Skip()
		}
		got, skipped := Gateway(node, Places{})
		if got == nil {
			if len(skipped) == 0 {
				t.Error("not used, without a word")
			}
			return
		}
		for _, e := range got.Spec.Endpoints {
			if addr := netip.MustParseAddr(string(e.Address)); !addr.IsGlobalUnicast() || e.Port < 1 || e.Port > 65535-63 {
				t.Errorf("endpoint %+v", e)
			}
		}
	})
}
