// Package probe finds out which links of a gateway carry traffic. It sends small authenticated UDP
// packets from this gateway's tunnel address to those of the remote gateways, and answers theirs.
// It owns the socket and the state of the links, and nothing else: no routes, no API objects. It
// needs no API server to go on.
//
// A packet is authenticated with a key that both ends derive from their WireGuard keys, so there is
// nothing to configure, and no other machine behind the tunnel can bring a link up. While a
// gateway's agent restarts, its kernel refuses the probes through the tunnel and goes on
// forwarding. For some time that keeps a link up.
package probe
