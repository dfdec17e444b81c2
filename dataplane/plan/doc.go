// Package plan decides what a node's kernel should do for the clusterset: which virtual services serve which clusterset
// IPs with which endpoints, and which routes and addresses lead between the clusters' pods.
//
// It is pure: objects in, configuration out, sorted, the same bytes for the same input. It reads its arguments only, does
// no I/O and knows neither clients nor clocks. What the kernel has is not its concern; the packages beside it compare.
package plan
