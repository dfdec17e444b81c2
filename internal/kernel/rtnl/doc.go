// Package rtnl holds what every package that speaks to the kernel's routing netlink (rtnetlink) needs. It lists until a
// listing is whole, converts between netip and the types of the netlink library, and maps names of links to indexes. It
// owns no object of the kernel and changes none.
package rtnl
