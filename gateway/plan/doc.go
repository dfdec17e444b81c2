// Package plan decides what a gateway's node should look like: which WireGuard devices and peers,
// which routes, which links to probe. It checks what the remote clusters say, and leaves out with a
// warning what cannot be used. First it accepts clusters (remotes.go). Then follow two halves: the
// tunnels to them (tunnels.go) and the routes over those (routes.go).
//
// The tunnels do not depend on which links are up. When that changes, the routes are planned again
// from the same Tunnels.
//
// It is pure: the same input gives the same plan, byte for byte. It does not talk to a kernel or
// an API server.
package plan
