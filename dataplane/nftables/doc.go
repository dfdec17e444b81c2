// Package nftables serves clusterset IPs by nftables: it owns the table `inet tombolo-services` of
// a node, which sends each new flow to a clusterset IP on to one of its endpoints by destination
// NAT.
//
// There is no chain for a service. A verdict map leads from address, protocol and port to a chain
// that draws one of n slots, of which there is one for every n and scheduler in use; a second map
// leads from the slot to the endpoint. An endpoint's share is its number of slots. So that a change
// writes only the elements that differ, slots are given out by rendezvous hashing. Session affinity
// is a map from client and service to the endpoint, whose elements the packets themselves add and
// which expire.
//
// It touches no other table: dataplane/filter refuses what is not served. It also keeps source
// addresses and lets a pod reach itself. It does not decide who gets traffic (dataplane/plan does),
// and it ends no flow when an endpoint goes (internal/kernel/conntrack does).
package nftables
