// Package hub owns a member's connection with the hub. It reads the ClusterSet and its Secret. It
// checks that the hub can be reached, lets us in, serves tombolo's kinds, belongs to our clusterset
// and has a Member for us. It keeps a cache of the hub's namespace, and connects again by itself
// when any of that changes. It tells controllers what the hub says, and whether they may believe it
// so far as to delete something.
//
// Two things it writes: on the hub, once, which cluster uses the cluster ID; and the hub's token,
// which it renews, into this cluster's Secret. It decides nothing about what the hub says. Package
// clusterset writes the ClusterSet's status.
package hub
