// Package mcs owns the rules of the Multi-Cluster Services API (KEP-1645) as tombolo applies them:
// what an export publishes, how the exports of all clusters merge into one import, what they
// conflict about, and what a ServiceImport and its EndpointSlices say. Every member computes the
// same result from the same facts.
//
// It does not own how endpoints lie in slices on the hub (mcs/pack), what may be used of what
// others publish (mcs/screen), nor the rules that agents share with the operator
// (internal/clusterset). It is pure: it reads and writes nothing, and knows no client, no clock and
// no cache.
package mcs
