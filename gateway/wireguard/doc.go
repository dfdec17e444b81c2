// Package wireguard makes this node's WireGuard devices match a Config: devices tombolo0, tombolo1,
// ... with their addresses and peers. The kernel serves them, or this process does (package
// userspace). It owns every link of type wireguard with such a name and every TUN with such a name
// that package userspace made, and nothing else: no routes, no keys at rest, no other links.
//
// A device that carries traffic is only ever changed by the difference. Peers are never replaced as
// a whole, and an endpoint that WireGuard learned from a packet stays until the published one
// changes or the session is dead.
package wireguard
