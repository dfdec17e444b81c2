// Package pack decides how the endpoints of an exported Service lie in EndpointSlices on the hub,
// with few writes. It owns nothing else: which endpoints may be published is for package mcs, and
// whoever calls does the writes.
//
// It is pure: it reads and writes nothing, and knows no client, no clock and no cache.
package pack
