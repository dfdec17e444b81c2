// Package rtnl holds what every package that speaks to the kernel's routing netlink (rtnetlink)
// needs. It lists until a listing is whole, watches for changes, converts between netip and the
// types of the netlink library, maps names of links to indexes, reads and sets rp_filter, and says
// whether this process may change the network. It owns no object of the kernel.
package rtnl
