// Package route makes the kernel lead packets where a node of a cluster should send them: to itself for clusterset
// IPs, through the VXLAN to a gateway for remote clusters, and on a gateway back to the node of a pod.
//
// It owns the device Device with its neighbour and forwarding entries, and the routes and rules that carry both our
// protocol number (Protocol) and one of our tables (in the table `local`: our protocol). It touches nothing else; the
// tunnels between clusters and the routes into them are the gateway's.
package route
