// Package clusterset owns the rules that all processes of a clusterset share: operator, gateways,
// dataplane and command line. They answer from objects of the API which addresses and names belong
// to whom, which of two claims wins, what may be exported, imported and served, and whether a
// cluster can be reached. Every cluster derives the same answer from the same objects.
//
// The package does not own the merge of exports (KEP-1645, package controllers/mcs), nor what a
// node's kernel should hold (gateway/plan and dataplane/plan). It is pure: it does no I/O and knows
// no client, no clock and no cache.
package clusterset
