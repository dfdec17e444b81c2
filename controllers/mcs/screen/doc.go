// Package screen decides what may be used of the objects that other clusters publish on the hub:
// ExportedServices, EndpointSlices and GatewayNodes. It leaves out what is malformed or not
// approved, and says why (Skipped). What passes is accepted by this cluster's API server. The
// package does not merge or import anything.
//
// It is pure: it reads and writes nothing, and knows no client, no clock and no cache.
package screen
