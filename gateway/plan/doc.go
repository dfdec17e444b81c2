// Package plan decides what a gateway's node is to look like: which WireGuard devices and peers, which routes, which
// links to probe. It is pure: the same Input gives the same Config, byte for byte, and nothing here talks to a kernel
// or an API server. What the remote clusters say is checked here, and what makes no sense is left out with a warning.
package plan
