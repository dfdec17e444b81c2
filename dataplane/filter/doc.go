// Package filter owns the nftables table `inet tombolo` of a node, which
//
//   - refuses what is sent to a clusterset IP but to no port of a Service: all of the VIP CIDR is local to the node, so
//     that without it the node's own listeners and NodePorts would answer there;
//   - keeps NodePorts off the ports that a Service has, where the numbers are the same;
//   - keeps the source address of packets between pods of different clusters, against the masquerade of a CNI;
//   - gives what the node itself sends to other clusters the node's transit address as the source, which they can answer,
//     and refuses what is sent to that address unasked;
//   - gives a pod that reaches itself through a clusterset IP the node's address, or it would refuse its own packets;
//   - clamps the TCP segment size to what fits through the tunnel.
//
// It programs no other table. It does not balance (dataplane/ipvs) and does not guard the tunnels (the gateway does).
package filter
