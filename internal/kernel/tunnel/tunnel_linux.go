package tunnel

import "github.com/vishvananda/netlink"

// IsUserspace reports whether the link is a TUN that serves WireGuard in an agent, of this process or
// an earlier one.
func IsUserspace(link netlink.Link) bool {
	t, ok := link.(*netlink.Tuntap)
	return ok && t.Mode == netlink.TUNTAP_MODE_TUN && t.Attrs().Alias == Alias
}

// Is reports whether the link is a tunnel of the gateway, of the kernel's WireGuard or of the agent's.
func Is(link netlink.Link) bool {
	return IsName(link.Attrs().Name) && (link.Type() == "wireguard" || IsUserspace(link))
}
