package userspace

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// component is where the manifests hold what a pod needs.
const component = "config/userspace-wireguard"

// Check reports whether this process can run devices, and changes nothing. The error is ErrNoTUN or
// ErrNotPermitted if it cannot, and names the remedy.
func Check() error {
	fd, err := unix.Open(tunPath, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return openError(err)
	}
	_ = unix.Close(fd)
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return fmt.Errorf("reading the capabilities of this process: %w", err)
	}
	if data[0].Effective&(1<<unix.CAP_NET_ADMIN) == 0 {
		return ErrNotPermitted
	}
	return nil
}

// openError says why the TUN file could not be opened, and what helps.
func openError(err error) error {
	switch {
	case errors.Is(err, unix.ENOENT):
		return fmt.Errorf("%w, which this container lacks: apply the component %s", ErrNoTUN, component)
	case errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		return fmt.Errorf("%w, and the kernel lacks its driver: load module tun", ErrNoTUN)
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("%w, which this container may not open: run it privileged (%s says how)", ErrNoTUN, component)
	}
	return fmt.Errorf("%w: %w", ErrNoTUN, err)
}
