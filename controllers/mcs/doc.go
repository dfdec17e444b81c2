// Package mcs owns the rules of the Multi-Cluster Services API (KEP-1645) as tombolo applies them: what an export
// publishes, how the exports of all clusters merge into one import, how EndpointSlices travel, where clusterset IPs
// lie, which members and which ClusterSet make sense beside what is in use. Every member computes the same result from
// the same facts.
//
// It is pure: it reads and writes nothing, knows no client, no clock and no cache; who calls it does.
package mcs
