package wireguard

import (
	"errors"
	"fmt"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl"
)

// Check reports whether this process can make WireGuard devices, and changes nothing. The error is
// ErrNoKernelSupport or ErrNotPermitted if it cannot. Asking for the family makes the kernel load
// the module, if there is one.
func Check() error {
	if _, err := netlink.GenlFamilyGet("wireguard"); errors.Is(err, unix.ENOENT) {
		return ErrNoKernelSupport
	} else if err != nil {
		return fmt.Errorf("finding WireGuard's netlink family: %w", err)
	}
	client, err := wgctrl.New()
	if err != nil {
		return fmt.Errorf("opening WireGuard's netlink family: %w", err)
	}
	defer client.Close()
	// Whether the device is there does not matter: the kernel does not tell a process that lacks the
	// capability.
	if _, err := client.Device(DeviceName(0)); errors.Is(err, os.ErrPermission) {
		return ErrNotPermitted
	}
	return nil
}
