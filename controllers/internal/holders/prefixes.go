package holders

import (
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// patience is how long a question waits for the pods. Whoever asks tries again.
const patience = 2 * time.Second

// addresses is the index byAddress.
func addresses(o client.Object) []string {
	var all []string
	for _, p := range ofPod(o) {
		all = append(all, p.Addr().String())
	}
	return all
}

func ofPod(o any) []netip.Prefix {
	var all []netip.Prefix
	if p, ok := o.(*corev1.Pod); ok {
		for _, ip := range p.Status.PodIPs {
			all = appendAddress(all, ip.IP)
		}
	}
	return all
}

func ofNode(o any) []netip.Prefix {
	n, ok := o.(*corev1.Node)
	if !ok {
		return nil
	}
	var all []netip.Prefix
	for _, a := range n.Status.Addresses {
		all = appendAddress(all, a.Address)
	}
	for _, cidr := range n.Spec.PodCIDRs {
		if p, err := netip.ParsePrefix(cidr); err == nil {
			all = append(all, p.Masked())
		}
	}
	return all
}

func ofService(o any) []netip.Prefix {
	var all []netip.Prefix
	if s, ok := o.(*corev1.Service); ok {
		for _, ip := range s.Spec.ClusterIPs {
			all = appendAddress(all, ip)
		}
	}
	return all
}

func appendAddress(all []netip.Prefix, text string) []netip.Prefix {
	a, err := netip.ParseAddr(text)
	if err != nil {
		return all // such as a node's host name
	}
	return append(all, netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()))
}

// differing are those that only one of the two lists has.
func differing(before, after []netip.Prefix) []netip.Prefix {
	var all []netip.Prefix
	for _, p := range before {
		if !slices.Contains(after, p) {
			all = append(all, p)
		}
	}
	for _, p := range after {
		if !slices.Contains(before, p) {
			all = append(all, p)
		}
	}
	return all
}
