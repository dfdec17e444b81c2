// Package conntrack ends flows: it deletes their connection tracking entries from the kernel, so
// that the next packet begins a new flow. Otherwise a UDP client that goes on sending would stay
// with an endpoint that is gone for as long as it sends.
//
// It deletes only the entries of flows that its caller names. It does not decide which flows should
// end.
package conntrack
