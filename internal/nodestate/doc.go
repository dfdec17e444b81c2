// Package nodestate prints, as text for people, what the kernel of a node holds: links, routes, IPVS
// and WireGuard. A support bundle has it. It changes nothing, and never prints a private or a
// preshared key. `nft list ruleset` is not repeated here: the image has nft.
package nodestate
