package pages

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// freebind lets a socket have an address that this host does not have, or not yet: a node's
// InternalIP may be one that a router translates. The probes then still reach the loopback address.
func freebind(_, _ string, c syscall.RawConn) error {
	var err error
	if ctlErr := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_FREEBIND, 1) }); ctlErr != nil {
		return ctlErr
	}
	return err
}
