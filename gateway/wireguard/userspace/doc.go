// Package userspace runs WireGuard devices in this process, for kernels that have none. Each device
// is a TUN in the kernel, a WireGuard implementation that reads and writes it, and a control socket
// in /var/run/wireguard, where wg and wgctrl find it as they find the kernel's. The package owns
// those three. It knows nothing of keys, peers, addresses and routes: whoever made the device
// configures it through the socket.
//
// A TUN is persistent: it outlives this process with its addresses and the routes that lead to it.
// The next process adopts it. Sessions do not outlive the process, so each peer needs a new
// handshake.
package userspace
