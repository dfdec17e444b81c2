package plan

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// CarriesIPv6 reports whether packets of IPv6 may go to another cluster: it has IPv6 addresses
// beside those of the tunnels, and this node has IPv6.
func (in Input) CarriesIPv6() bool { return in.NoIPv6 == "" && in.remotesHaveIPv6() }

func (in Input) remotesHaveIPv6() bool {
	return slices.ContainsFunc(in.Remotes, func(r Remote) bool {
		return slices.ContainsFunc(r.CIDRs, func(c v1alpha1.CIDR) bool { return strings.Contains(string(c), ":") })
	})
}

// leaveOutIPv6 takes out what a node without IPv6 cannot have. The peers keep their IPv6 prefixes:
// WireGuard takes them, and no packet uses them.
func (t *Tunnels) leaveOutIPv6(in Input) {
	for i := range t.WireGuard.Devices {
		d := &t.WireGuard.Devices[i]
		d.Addresses = clusterset.UsableAddresses(d.Addresses, false)
	}
	t.TunnelAddresses = clusterset.UsableAddresses(t.TunnelAddresses, false)
	for i := range t.Clusters {
		c := &t.Clusters[i]
		c.Blocks, c.Prefixes = onlyIPv4(c.Blocks), onlyIPv4(c.Prefixes)
	}
	if in.remotesHaveIPv6() {
		t.Warnings = append(t.Warnings, Warning{Message: "IPv6 is left out: " + in.NoIPv6})
	}
}

func onlyIPv4(all []netip.Prefix) []netip.Prefix {
	return slices.DeleteFunc(slices.Clone(all), func(p netip.Prefix) bool { return p.Addr().Is6() })
}
