package agent

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// verdict says what serves clusterset IPs on this node.
type verdict struct {
	// backend that serves: ipvs or nftables.
	backend v1alpha1.DataplaneBackend
	// refusal is why no virtual service may be programmed; nil if they may.
	refusal error
	// why says what is used and why, warning what is not well about it.
	why, warning string
}

var errKubeProxy = errors.New("this node's kube-proxy runs in ipvs mode and would delete tombolo's virtual services")

// judge tells what to serve with if that backend is asked for, beside that kube-proxy. noIPVS is nil where the kernel has
// IPVS. kube-proxy takes the whole IPVS table for its own: in ipvs mode it deletes what it does not know, unless it is
// excluded, and in nftables mode it flushes the table when it starts (kubernetes/pkg/proxy).
func judge(asked v1alpha1.DataplaneBackend, state proxyState, vips []netip.Prefix, noIPVS error) verdict {
	reveals, danger := state.reveals(vips)
	switch {
	case asked == v1alpha1.BackendNFTables:
		return verdict{backend: asked, why: "nftables serves clusterset IPs (backend nftables)"}
	case asked == v1alpha1.BackendIPVS && danger && state.Mode == modeIPVS:
		return verdict{backend: asked, refusal: fmt.Errorf(
			"%w: add %s to ipvs.excludeCIDRs in its configuration, or set backend to auto or nftables in spec.dataplane of the ClusterSet",
			errKubeProxy, firstNotExcluded(state, vips))}
	case asked == v1alpha1.BackendIPVS:
		v := verdict{backend: asked, why: fmt.Sprintf("IPVS serves clusterset IPs (backend ipvs, %s)", reveals)}
		if danger {
			v.warning = "kube-proxy may wipe the IPVS table: clusterset IPs are back within a second; backend nftables avoids that"
		}
		return v
	case danger:
		return verdict{backend: v1alpha1.BackendNFTables, why: fmt.Sprintf("nftables serves clusterset IPs (backend auto, %s)", reveals)}
	case noIPVS != nil:
		return verdict{backend: v1alpha1.BackendNFTables, why: "nftables serves clusterset IPs (backend auto, this kernel has no IPVS)"}
	}
	return verdict{backend: v1alpha1.BackendIPVS, why: fmt.Sprintf("IPVS serves clusterset IPs (backend auto, %s)", reveals)}
}

// reveals says in words what matters of kube-proxy, and whether IPVS is in danger beside it.
func (s proxyState) reveals(vips []netip.Prefix) (words string, danger bool) {
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

// firstNotExcluded is the first VIP CIDR that kube-proxy does not exclude; not valid if there is none.
func firstNotExcluded(state proxyState, vips []netip.Prefix) netip.Prefix {
	for _, vip := range vips {
		if !slices.ContainsFunc(state.Excluded, func(e netip.Prefix) bool { return e.Bits() <= vip.Bits() && e.Contains(vip.Addr()) }) {
			return vip
		}
	}
	return netip.Prefix{}
}

func (w *proxyWatch) verdict(asked v1alpha1.DataplaneBackend, vips []netip.Prefix, noIPVS error) verdict {
	var state proxyState
	if s := w.state.Load(); s != nil {
		state = *s
	}
	return judge(asked, state, vips, noIPVS)
}
