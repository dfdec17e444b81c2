package demo

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// addresses reads a list of IP addresses that anything but their own characters separates.
func addresses(text string) ([]netip.Addr, error) {
	var all []netip.Addr
	for _, field := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" ,\n", r) }) {
		a, err := netip.ParseAddr(field)
		if err != nil {
			return nil, fmt.Errorf("reading addresses: %w", err)
		}
		all = append(all, a)
	}
	return all, nil
}

// ofFamily is the address of the family of a.
func ofFamily(all []netip.Addr, a netip.Addr) (netip.Addr, error) {
	i := slices.IndexFunc(all, func(b netip.Addr) bool { return b.Is4() == a.Is4() })
	if i < 0 {
		return netip.Addr{}, fmt.Errorf("none of the addresses %v is of the family of %s", all, a)
	}
	return all[i], nil
}

// podIPs are the addresses of a pod, of those families that the client's pod has, too.
func (e *Env) podIPs(ctx context.Context, cluster, pod string) ([]netip.Addr, error) {
	client, err := e.allPodIPs(ctx, e.client, clientPod)
	if err != nil {
		return nil, err
	}
	own, err := e.allPodIPs(ctx, cluster, pod)
	return slices.DeleteFunc(own, func(a netip.Addr) bool {
		_, err := ofFamily(client, a)
		return err != nil
	}), err
}

func (e *Env) allPodIPs(ctx context.Context, cluster, pod string) ([]netip.Addr, error) {
	out, err := e.get(ctx, cluster, "pod/"+pod, "{.status.podIPs[*].ip}")
	if err != nil {
		return nil, err
	}
	return addresses(out)
}

// curlFamily is curl's flag for the family of the address.
func curlFamily(a netip.Addr) string {
	if a.Is4() {
		return "--ipv4"
	}
	return "--ipv6"
}

// texts are the addresses as text, sorted.
func texts(all []netip.Addr) []string {
	var out []string
	for _, a := range all {
		out = append(out, a.String())
	}
	return sorted(out)
}
