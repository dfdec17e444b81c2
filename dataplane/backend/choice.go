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
	// Refusal is why no virtual service may be programmed; nil if they may.
	Refusal error
	// Why says in words what serves, and the reason. Warning says what may go wrong with it; empty if nothing may.
	Why, Warning string
}

// ErrKubeProxy says that this node's kube-proxy would delete our virtual services.
var ErrKubeProxy = errors.New("this node's kube-proxy runs in ipvs mode and would delete tombolo's virtual services")

// Choose returns what serves clusterset IPs where the ClusterSet asks for that backend, beside that kube-proxy. noIPVS
// is nil if the kernel has IPVS. kube-proxy treats the whole IPVS table as its own: in ipvs mode it deletes the services
// that it does not know, unless their CIDR is excluded, and in nftables mode it flushes the table when it starts
// (kubernetes/pkg/proxy).
func Choose(asked v1alpha1.DataplaneBackend, proxy ProxyState, vips []netip.Prefix, noIPVS error) Choice {
	proxyIs, danger := proxy.describe(vips)
	switch {
	case asked == v1alpha1.BackendNFTables:
		return Choice{Backend: asked, Why: "nftables serves clusterset IPs (backend nftables)"}
	case asked == v1alpha1.BackendIPVS && danger && proxy.Mode == modeIPVS:
		return Choice{Backend: asked, Refusal: fmt.Errorf(
			"%w: add %s to ipvs.excludeCIDRs in its configuration, or set backend to auto or nftables in spec.dataplane of the ClusterSet",
			ErrKubeProxy, firstNotExcluded(proxy, vips))}
	case asked == v1alpha1.BackendIPVS:
		c := Choice{Backend: asked, Why: fmt.Sprintf("IPVS serves clusterset IPs (backend ipvs, %s)", proxyIs)}
		if danger {
			c.Warning = "kube-proxy may wipe the IPVS table: clusterset IPs are back within a second; backend nftables avoids that"
		}
		return c
	case danger:
		return Choice{Backend: v1alpha1.BackendNFTables, Why: fmt.Sprintf("nftables serves clusterset IPs (backend auto, %s)", proxyIs)}
	case noIPVS != nil:
		return Choice{Backend: v1alpha1.BackendNFTables, Why: "nftables serves clusterset IPs (backend auto, this kernel has no IPVS)"}
	}
	return Choice{Backend: v1alpha1.BackendIPVS, Why: fmt.Sprintf("IPVS serves clusterset IPs (backend auto, %s)", proxyIs)}
}

// describe says in words what matters of kube-proxy, and whether IPVS is in danger beside it.
func (s ProxyState) describe(vips []netip.Prefix) (words string, danger bool) {
	switch s.Mode {
	case modeNone:
		return "no kube-proxy answers", false
	case modeIPVS:
		if firstNotExcluded(s, vips).IsValid() {
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

// firstNotExcluded returns the first VIP CIDR that kube-proxy does not exclude; not valid if it excludes all.
func firstNotExcluded(state ProxyState, vips []netip.Prefix) netip.Prefix {
	for _, vip := range vips {
		if !slices.ContainsFunc(state.Excluded, func(e netip.Prefix) bool { return e.Bits() <= vip.Bits() && e.Contains(vip.Addr()) }) {
			return vip
		}
	}
	return netip.Prefix{}
}
