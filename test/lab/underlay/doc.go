// Package underlay is the network that the lab's nodes are plugged into: a small Ethernet switch in
// this process, with one named port for each node and one for the way to the host's loopback.
//
// It owns the ports' sockets, the forwarding of frames (learning, flooding of broadcast, multicast
// and unknown unicast), the faults between pairs of ports (cut, delay, loss, a small MTU, a NAT) and
// the capture of what passes. It does not own the nodes' kernels, their addresses or anything above Ethernet, and
// it needs no privilege: a port is a unix socket, not a device.
//
//	sw := underlay.New()
//	port, err := sw.Listen("east-1", "/run/lab/east-1.sock") // before the kernel boots
//	go port.Serve(ctx)
//	// the kernel's command line: vec0:transport=bess,dst=/run/lab/east-1.sock,...
package underlay
