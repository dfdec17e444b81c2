// Package hub owns a member's access to the hub: it reads the ClusterSet and its Secret, checks that the hub can be
// reached, lets us in, serves tombolo's kinds, is the one of our clusterset and has a Member for us, keeps a cache of the
// hub's namespace, and connects again by itself when any of that changes. It tells controllers what the hub says, and
// whether that may be believed so far as to delete something.
//
// It decides nothing about what the hub says, writes nothing of its own to it, and does not write the ClusterSet's
// status (package clusterset does).
package hub
