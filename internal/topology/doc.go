// Package topology makes one picture of a clusterset from the objects that its clusters hold. The
// command line prints it. It is pure: it reads no cluster and no clock.
package topology
