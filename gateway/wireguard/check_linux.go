package wireguard

import (
	"errors"
	"fmt"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl"
)

// Check tells whether this process can make WireGuard devices, and changes nothing: ErrNoKernelSupport or
// ErrNotPermitted if it cannot. To ask for the family makes the kernel load the module, where there is one.
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
	// Whether the device is there does not matter: who lacks the capability does not get to know.
	if _, err := client.Device(DeviceName(0)); errors.Is(err, os.ErrPermission) {
		return ErrNotPermitted
	}
	return nil
}
