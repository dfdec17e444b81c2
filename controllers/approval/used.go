package approval

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"

	"go4.org/netipx"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// maxOutside is how many addresses outside are remembered in one pass. More are counted.
const maxOutside = 256

// used are addresses of this cluster's pods: ranges of nodes, and single ones outside the approved
// CIDRs.
type used struct {
	blocks []clusterset.Block
	more   int // how many addresses are left out
}

// used reads the Nodes' podCIDRs and the endpoints of this cluster's Services. Where no pod that is
// known has an address in any podCIDR, the CNI gives pods addresses of its own, and podCIDRs mean
// nothing.
func (r *Reconciler) used(ctx context.Context, approved []netip.Prefix, matters func(netip.Addr) bool) (used, error) {
	nodes := &corev1.NodeList{}
	if err := r.Client.List(ctx, nodes, client.UnsafeDisableDeepCopy); err != nil {
		return used{}, fmt.Errorf("listing Nodes: %w", err)
	}
	exports := &mcsv1beta1.ServiceExportList{}
	if err := r.Client.List(ctx, exports, client.UnsafeDisableDeepCopy); err != nil {
		return used{}, fmt.Errorf("listing ServiceExports: %w", err)
	}
	endpoints := &discoveryv1.EndpointSliceList{}
	if err := r.Client.List(ctx, endpoints, client.UnsafeDisableDeepCopy); err != nil {
		return used{}, fmt.Errorf("listing EndpointSlices: %w", err)
	}
	ranges, hosts := ofNodes(nodes)
	p := pass{approved: approved, matters: matters, hosts: hosts, ranges: setOf(ranges), exported: map[client.ObjectKey]bool{}, seen: map[netip.Addr]bool{}}
	for i := range exports.Items {
		p.exported[client.ObjectKeyFromObject(&exports.Items[i])] = true
	}
	// In an order of its own: which addresses are named must not change with the cache's.
	slices.SortFunc(endpoints.Items, func(a, b discoveryv1.EndpointSlice) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	for i := range endpoints.Items {
		p.add(&endpoints.Items[i])
	}
	var found []clusterset.Block
	if p.inRanges || !p.pods {
		for _, b := range ranges {
			if matters(b.Prefix.Addr()) {
				found = append(found, b)
			}
		}
	}
	found = append(found, p.outside...)
	slices.SortStableFunc(found, func(a, b clusterset.Block) int {
		return cmp.Or(cmp.Compare(a.Owner, b.Owner), a.Prefix.Addr().Compare(b.Prefix.Addr()))
	})
	return used{found, p.more}, nil
}

// ofNodes are the ranges of the nodes' pods, and the nodes' own addresses.
func ofNodes(nodes *corev1.NodeList) ([]clusterset.Block, map[netip.Addr]bool) {
	var ranges []clusterset.Block
	hosts := map[netip.Addr]bool{}
	for i := range nodes.Items {
		node := &nodes.Items[i]
		for _, text := range node.Spec.PodCIDRs {
			if p, err := netip.ParsePrefix(text); err == nil {
				ranges = append(ranges, clusterset.Block{Prefix: p.Masked(), Owner: "the pods of node " + node.Name})
			}
		}
		for _, kind := range []corev1.NodeAddressType{corev1.NodeInternalIP, corev1.NodeExternalIP} {
			for _, a := range clusterset.AddressesOf(node, kind) {
				hosts[a] = true
			}
		}
	}
	return ranges, hosts
}

func setOf(blocks []clusterset.Block) *netipx.IPSet {
	var b netipx.IPSetBuilder
	for _, block := range blocks {
		b.AddPrefix(block.Prefix)
	}
	set, _ := b.IPSet() // its only error is a prefix that is not valid
	return set
}

// pass goes once over the EndpointSlices.
type pass struct {
	approved []netip.Prefix
	matters  func(netip.Addr) bool
	hosts    map[netip.Addr]bool // nodes' own addresses
	ranges   *netipx.IPSet       // of the nodes' pods
	exported map[client.ObjectKey]bool

	pods     bool // there are pods with addresses of their own
	inRanges bool // one of them is in a node's range
	seen     map[netip.Addr]bool
	outside  []clusterset.Block
	more     int
}

// add looks at a slice, unless it is imported.
func (p *pass) add(slice *discoveryv1.EndpointSlice) {
	if slice.Labels[v1alpha1.LabelSourceCluster] != "" || slice.AddressType == discoveryv1.AddressTypeFQDN {
		return
	}
	service := client.ObjectKey{Namespace: slice.Namespace, Name: slice.Labels[discoveryv1.LabelServiceName]}
	exported := p.exported[service]
	for i := range slice.Endpoints {
		e := &slice.Endpoints[i]
		for _, text := range e.Addresses {
			a, err := netip.ParseAddr(text)
			if err != nil {
				continue
			}
			pod := e.TargetRef != nil && e.TargetRef.Kind == "Pod" && !p.hosts[a]
			if pod {
				p.pods = true
				p.inRanges = p.inRanges || p.ranges.Contains(a)
			}
			switch {
			case clusterset.Contains(p.approved, a) || !p.matters(a):
			case exported:
				p.keep(a, "an endpoint of the exported Service "+service.String())
			case pod: // a client, perhaps
				p.keep(a, "pod "+e.TargetRef.Namespace+"/"+e.TargetRef.Name)
			}
		}
	}
}

// keep notes an address that is outside, once, unless its node's range says the same.
func (p *pass) keep(a netip.Addr, owner string) {
	switch {
	case p.seen[a] || p.ranges.Contains(a):
	case len(p.outside) == maxOutside:
		p.more++
	default:
		p.seen[a] = true
		p.outside = append(p.outside, clusterset.Block{Prefix: netip.PrefixFrom(a, a.BitLen()), Owner: owner})
	}
}
