// Package conntrack ends flows: it deletes the kernel's connection tracking entries of flows that go through a clusterset
// IP to an endpoint that they should no longer reach, so that the next packet begins a flow anew. A UDP client that goes
// on sending would otherwise stay with an endpoint that is gone for as long as it sends.
//
// It touches no entry but those that it is asked for, and decides about none (dataplane/plan does).
package conntrack
