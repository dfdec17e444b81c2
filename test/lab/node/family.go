package node

import (
	"context"
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
)

// family is an IP family, with what programs and the kernel call it.
type family struct {
	is4       bool
	suffix    string // of names that IPv4's have without
	iptables  string // the program
	ipset     string // the family of sets
	multicast string // CIDR
	neighbour int    // the family of neighbours
}

var (
	ipv4 = family{is4: true, iptables: "iptables", ipset: "inet", multicast: "224.0.0.0/4", neighbour: unix.AF_INET}
	ipv6 = family{suffix: "6", iptables: "ip6tables", ipset: "inet6", multicast: "ff00::/8", neighbour: unix.AF_INET6}
)

// families are those of the cluster's pods, IPv4 first.
func (c Config) families() (all []family) {
	for _, f := range []family{ipv4, ipv6} {
		if len(f.of(c.PodCIDRs)) > 0 {
			all = append(all, f)
		}
	}
	return all
}

// of are the prefixes of the family.
func (f family) of(all []netip.Prefix) (some []netip.Prefix) {
	for _, p := range all {
		if p.Addr().Is4() == f.is4 {
			some = append(some, p.Masked())
		}
	}
	return some
}

// cidr returns the node's pod CIDR and InternalIP of the family, not valid as long as it lacks one
// of them.
func (f family) cidr(n *corev1.Node) (netip.Prefix, netip.Addr) {
	for cidr, via := range routesTo(n) {
		if cidr.Addr().Is4() == f.is4 {
			return cidr, via
		}
	}
	return netip.Prefix{}, netip.Addr{}
}

// perFamily is a network of one IP family, or of IPv4 and IPv6 side by side, in this order.
type perFamily []podNet

// plugin is that of the last network, whose MTU is the smallest: what IPv6 adds is larger.
func (p perFamily) plugin() object { return p[len(p)-1].plugin() }

func (p perFamily) sync(ctx context.Context, self *corev1.Node, others []*corev1.Node) error {
	var errs []error
	for _, net := range p {
		errs = append(errs, net.sync(ctx, self, others))
	}
	return errors.Join(errs...)
}
