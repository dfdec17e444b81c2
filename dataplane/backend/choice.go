package backend

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// Choice says what serves clusterset IPs on this node, and why.
type Choice struct {
	// Backend is ipvs or nftables.
	Backend v1alpha1.DataplaneBackend
	// Refusal is why no virtual service may be programmed, or none inside the VIP CIDRs that are Refused
	// if there are any; nil if all may.
	Refusal error
	Refused []netip.Prefix
	// Why says in words what serves, and the reason. Warning says what may go wrong with it; empty
	// if nothing may.
	Why, Warning string
	// Moved is true if nftables serves only because the IPVS table is contested.
	Moved bool
}

// ErrKubeProxy says that this node's kube-proxy would delete our virtual services.
var ErrKubeProxy = errors.New("this node's kube-proxy runs in ipvs mode and would delete tombolo's virtual services")

// Circumstances are what a Choice follows from.
type Circumstances struct {
	// Asked is the backend that the ClusterSet asks for.
	Asked v1alpha1.DataplaneBackend
	// Proxy is this node's kube-proxy.
	Proxy ProxyState
	// VIPs are the VIP CIDRs.
	VIPs []netip.Prefix
	// NoIPVS says why this kernel has no IPVS; nil if it has.
	NoIPVS error
	// Before is what serves already, from an earlier life of this agent; empty if nothing does.
	Before v1alpha1.DataplaneBackend
	// Contested says what other programs did to our virtual services again and again; empty if they
	// did not.
	Contested string
}

// Equal reports whether the same Choice follows from both.
func (c Circumstances) Equal(other Circumstances) bool {
	return c.Asked == other.Asked && c.Proxy.equal(other.Proxy) && slices.Equal(c.VIPs, other.VIPs) &&
		(c.NoIPVS == nil) == (other.NoIPVS == nil) && c.Contested == other.Contested && c.Before == other.Before
}

// names of the backends in sentences.
var names = map[v1alpha1.DataplaneBackend]string{v1alpha1.BackendIPVS: "IPVS", v1alpha1.BackendNFTables: "nftables"}

// Choose returns what serves clusterset IPs under the circumstances. kube-proxy treats the whole
// IPVS table as its own: in ipvs mode it deletes the services that it does not know, unless their
// CIDR is excluded, and in nftables mode it flushes the table when it starts
// (kubernetes/pkg/proxy).
func (c Circumstances) Choose() Choice {
	proxyIs, danger := c.Proxy.describe(c.VIPs)
	switch {
	case c.Asked == v1alpha1.BackendNFTables:
		return Choice{Backend: c.Asked, Why: "nftables serves clusterset IPs (backend nftables)"}
	case c.Asked == v1alpha1.BackendIPVS && danger && c.Proxy.Mode == modeIPVS:
		return c.refuse(c.Proxy.notExcluded(c.VIPs))
	case c.Asked == v1alpha1.BackendIPVS:
		choice := Choice{Backend: c.Asked, Why: fmt.Sprintf("IPVS serves clusterset IPs (backend ipvs, %s)", proxyIs)}
		if danger {
			choice.Warning = "kube-proxy may wipe the IPVS table: clusterset IPs are back within a second; backend nftables avoids that"
		}
		return choice
	case c.Proxy.Early && c.Before != "":
		return Choice{Backend: c.Before, Why: fmt.Sprintf("%s serves clusterset IPs as before (backend auto, kube-proxy has not answered yet)", names[c.Before])}
	case danger:
		return Choice{Backend: v1alpha1.BackendNFTables, Why: fmt.Sprintf("nftables serves clusterset IPs (backend auto, %s)", proxyIs)}
	case c.NoIPVS != nil:
		return Choice{Backend: v1alpha1.BackendNFTables, Why: "nftables serves clusterset IPs (backend auto, this kernel has no IPVS)"}
	case c.Contested != "":
		return Choice{Backend: v1alpha1.BackendNFTables, Moved: true,
			Why: "nftables serves clusterset IPs (backend auto, another program removes tombolo's virtual services from the IPVS table)",
			Warning: "seen: " + c.Contested + "; look for `ipvsadm -C`, `ipvsadm -R` or `kube-proxy --cleanup`; " +
				"once it has gone, set backend to nftables and back to auto in spec.dataplane of the ClusterSet to serve with IPVS again"}
	}
	return Choice{Backend: v1alpha1.BackendIPVS, Why: fmt.Sprintf("IPVS serves clusterset IPs (backend auto, %s)", proxyIs)}
}

// refuse is the Choice of IPVS where kube-proxy would delete virtual services inside some VIP CIDRs.
func (c Circumstances) refuse(refused []netip.Prefix) Choice {
	const remedy = "add %s to ipvs.excludeCIDRs in its configuration, or set backend to auto or nftables in spec.dataplane of the ClusterSet"
	choice := Choice{Backend: c.Asked, Refusal: fmt.Errorf("%w: "+remedy, ErrKubeProxy, refused[0])}
	if len(refused) < len(c.VIPs) {
		choice.Refusal, choice.Refused = fmt.Errorf("%w inside %s; the others are served: "+remedy, ErrKubeProxy, refused[0], refused[0]), refused
	}
	return choice
}

// describe says in words what matters of kube-proxy, and whether IPVS is in danger beside it.
func (s ProxyState) describe(vips []netip.Prefix) (words string, danger bool) {
	switch s.Mode {
	case modeNone:
		return "no kube-proxy answers", false
	case modeIPVS:
		if len(s.notExcluded(vips)) > 0 {
			return "kube-proxy mode ipvs, which does not exclude the VIP CIDR", true
		}
		return "kube-proxy mode ipvs, which excludes the VIP CIDR", false
	case modeNFTables:
		return "kube-proxy mode nftables, which wipes the IPVS table when it starts", true
	case modeUnknown:
		return "kube-proxy does not tell its mode", true
	}
	return "kube-proxy mode " + s.Mode, false
}

// notExcluded returns the VIP CIDRs that kube-proxy does not exclude.
func (s ProxyState) notExcluded(vips []netip.Prefix) []netip.Prefix {
	return slices.DeleteFunc(slices.Clone(vips), func(vip netip.Prefix) bool {
		return slices.ContainsFunc(s.Excluded, func(e netip.Prefix) bool { return e.Bits() <= vip.Bits() && e.Contains(vip.Addr()) })
	})
}
