package userspace

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/tombolo-net/tombolo/internal/kernel/rtnl"
	"github.com/tombolo-net/tombolo/internal/kernel/tunnel"
)

// addrGenModeNone turns a link's own link-local address off (IN6_ADDR_GEN_MODE_NONE of
// linux/if_link.h).
const addrGenModeNone = 1

const (
	// attachPatience is how long a TUN may stay attached to a process that is ending: the kernel
	// closes its files after it has told its parent.
	attachPatience = 2 * time.Second
	attachInterval = 20 * time.Millisecond
)

// openTUN attaches the TUN of that name, or makes it with that MTU. It returns the MTU that the TUN
// has.
func openTUN(ctx context.Context, name string, mtu int) (*os.File, int, error) {
	link, err := netlink.LinkByName(name)
	var fd int
	switch {
	case rtnl.IsLinkNotFound(err):
		fd, err = makeTUN(name)
	case err != nil:
		err = fmt.Errorf("finding %s: %w", name, err)
	case !tunnel.IsUserspace(link):
		err = fmt.Errorf("link %s is of type %s and not ours: rename or remove it", name, link.Type())
	default:
		mtu = link.Attrs().MTU
		fd, err = attachTUN(ctx, name)
	}
	if err != nil {
		return nil, 0, err
	}
	return os.NewFile(uintptr(fd), tunPath), mtu, nil
}

// makeTUN makes a TUN that outlives this process. It becomes persistent last: a process that ends
// before leaves nothing.
func makeTUN(name string) (fd int, err error) {
	if fd, err = setTUN(name, unix.IFF_TUN_EXCL); err != nil {
		return 0, fmt.Errorf("making the TUN %s: %w", name, err)
	}
	if err = markTUN(name); err == nil {
		err = unix.IoctlSetInt(fd, unix.TUNSETPERSIST, 1)
	}
	if err != nil {
		_ = unix.Close(fd)
		return 0, fmt.Errorf("making the TUN %s persistent: %w", name, err)
	}
	return fd, nil
}

// markTUN makes the link recognisable as ours. It gets no link-local address of its own, as the
// kernel's WireGuard devices have none.
func markTUN(name string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("finding the TUN %s: %w", name, err)
	}
	if err := netlink.LinkSetAlias(link, tunnel.Alias); err != nil {
		return fmt.Errorf("marking the TUN %s: %w", name, err)
	}
	err = netlink.LinkSetIP6AddrGenMode(link, addrGenModeNone)
	if err != nil && !errors.Is(err, unix.EAFNOSUPPORT) { // no IPv6 on this node
		return fmt.Errorf("turning link-local addresses of %s off: %w", name, err)
	}
	return nil
}

// attachTUN attaches a TUN that is there. It waits for the process that had it to end.
func attachTUN(ctx context.Context, name string) (fd int, err error) {
	ctx, cancel := context.WithTimeout(ctx, attachPatience)
	defer cancel()
	for {
		fd, err = setTUN(name, 0)
		switch {
		case err == nil:
			return fd, nil
		case !errors.Is(err, unix.EBUSY):
			return 0, fmt.Errorf("attaching the TUN %s: %w", name, err)
		}
		select {
		case <-ctx.Done():
			return 0, fmt.Errorf("attaching the TUN %s, which another process uses: %w", name, err)
		case <-time.After(attachInterval):
		}
	}
}

// setTUN opens a TUN with headers for offloads (IFF_VNET_HDR), and without those of protocols.
func setTUN(name string, flags uint16) (fd int, err error) {
	if fd, err = unix.Open(tunPath, unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0); err != nil {
		return 0, openError(err)
	}
	req, err := unix.NewIfreq(name)
	if err == nil {
		req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR | flags)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, req)
	}
	if err != nil {
		_ = unix.Close(fd)
		return 0, err
	}
	return fd, nil
}
