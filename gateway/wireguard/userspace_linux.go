package wireguard

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// isDetached reports whether reading a TUN of ours ended so because no process serves it: there is
// no control socket, or one that an earlier process left, or its process ended meanwhile.
func isDetached(err error) bool {
	return errors.Is(err, os.ErrNotExist) || errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.ECONNRESET) ||
		errors.Is(err, unix.EPIPE)
}

// checkPort returns an error if the UDP port is taken. A userspace device closes its old sockets
// before it opens those of another port, so this is asked first: the tunnel goes on by the old one.
func checkPort(ctx context.Context, port int) error {
	var config net.ListenConfig
	for _, network := range []string{"udp4", "udp6"} {
		conn, err := config.ListenPacket(ctx, network, fmt.Sprintf(":%d", port))
		switch {
		case err == nil:
			_ = conn.Close()
		case errors.Is(err, unix.EADDRINUSE):
			return err
		}
	}
	return nil
}
