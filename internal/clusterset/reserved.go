package clusterset

import "net/netip"

// ReservedBlocks are the addresses that no pod of another cluster can have, and that a node must
// never send to one: this host, loopback, link-local (with the cloud's metadata), multicast and
// broadcast. Any default route holds them all.
func ReservedBlocks() []Block {
	return []Block{
		{netip.MustParsePrefix("0.0.0.0/8"), "this host"},
		{netip.MustParsePrefix("127.0.0.0/8"), "loopback"},
		{netip.MustParsePrefix("169.254.0.0/16"), "link-local, with the cloud's metadata"},
		{netip.MustParsePrefix("224.0.0.0/4"), "multicast"},
		{netip.MustParsePrefix("255.255.255.255/32"), "broadcast"},
		{netip.MustParsePrefix("::/127"), "this host and loopback"},
		{netip.MustParsePrefix("::ffff:0:0/96"), "IPv4 written as IPv6"},
		{netip.MustParsePrefix("fe80::/10"), "link-local"},
		{netip.MustParsePrefix("ff00::/8"), "multicast"},
	}
}
