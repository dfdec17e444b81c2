package wireguard

import (
	"errors"
	"fmt"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/gateway/wireguard/userspace"
)

// Check chooses who serves the devices, and changes nothing: userspace is false for the kernel, true
// for this process. An empty mode is auto. The error is ErrNoKernelSupport, ErrNoTUN or ErrNotPermitted if nobody can.
func Check(mode v1alpha1.WireGuardMode) (userspaceDevices bool, err error) {
	if mode == v1alpha1.WireGuardUserspace {
		return true, checkUserspace()
	}
	err = checkKernel()
	if mode == v1alpha1.WireGuardKernel || !errors.Is(err, ErrNoKernelSupport) {
		return false, err
	}
	if userspaceErr := checkUserspace(); userspaceErr != nil {
		return false, fmt.Errorf("%w; %w", err, userspaceErr)
	}
	return true, nil
}

// checkKernel reports whether this process can have the kernel make WireGuard devices. Asking for
// the family makes the kernel load the module, if there is one.
func checkKernel() error {
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

func checkUserspace() error {
	err := userspace.Check()
	if errors.Is(err, userspace.ErrNotPermitted) {
		return ErrNotPermitted
	}
	return err
}
