// Package vxlan makes the VXLAN devices that join a cluster's nodes with its gateways match a
// Config, in the network namespace of the caller.
//
// It owns the devices that the caller names, with their addresses and their permanent neighbour and
// forwarding entries. It touches nothing else: routes over the devices belong to package route.
package vxlan
