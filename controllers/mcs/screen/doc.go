// Package screen holds every rule for what may be used of what comes from the hub: the admin's
// Members, and the ExportedServices, EndpointSlices and GatewayNodes that other clusters publish. It
// leaves out what is malformed or not approved, and says why (Skipped, clusterset.Refusal). What
// passes is accepted by this cluster's API server. The package does not merge or import anything.
//
// It is pure: it reads and writes nothing, and knows no client, no clock and no cache.
package screen
