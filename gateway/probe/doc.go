// Package probe tells which links of a gateway carry traffic: it sends small authenticated UDP packets from this
// gateway's tunnel address to those of the remote gateways, and answers theirs. It owns the state of the links and
// nothing else: no sockets of its own making, no routes, no API objects. It needs no API server to go on.
//
// A packet is authenticated with a key that both ends derive from their WireGuard keys, so there is nothing to
// configure, and no other machine behind the tunnel can say that a gateway is alive.
package probe
