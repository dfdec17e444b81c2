// Package filter plans the nftables table `inet tombolo` of a node, which
//
//   - refuses what is sent to a clusterset IP but to no port of a Service: all of the VIP CIDR is local
//     to the node, so that without it the node's own listeners and NodePorts would answer there;
//   - keeps NodePorts off the ports that a Service has, where the numbers are the same;
//   - keeps the source address of packets between pods of different clusters, against the masquerade of
//     a CNI;
//   - makes the node's transit address the source of what the node itself sends to other clusters, since
//     they can answer it, and refuses what is sent to that address unasked;
//   - makes the node's address the source of what goes to an endpoint that is no pod, through a
//     clusterset IP or from another cluster: it may not know the way back to anybody else;
//   - makes the node's address the source if a pod reaches itself through a clusterset IP: it would
//     refuse its own packets;
//   - clamps the TCP segment size to what fits through the tunnel;
//   - lets nobody but this cluster's nodes send VXLAN frames, and nothing in them but what belongs there.
//
// Package internal/kernel/firewall writes the table. It does not balance (dataplane/ipvs) and does not
// guard the tunnels (the gateway does). It is pure: the same input gives the same table.
package filter
