package wireguard

import (
	"context"
	"errors"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl"
)

// CheckPort returns a *PortInUseError if the UDP port is taken in this network namespace. It opens
// the port for a moment, as a device does.
func CheckPort(ctx context.Context, port int) error {
	if err := checkPort(ctx, port); err == nil || !errors.Is(err, unix.EADDRINUSE) {
		return err
	}
	return &PortInUseError{Port: port, Device: deviceOn(port)}
}

// deviceOn is the WireGuard device that listens on the port, ours or not; empty if none is known.
func deviceOn(port int) string {
	client, err := wgctrl.New()
	if err != nil {
		return ""
	}
	defer client.Close()
	devices, err := client.Devices()
	if err != nil {
		return ""
	}
	for _, d := range devices {
		if d.ListenPort == port {
			return d.Name
		}
	}
	return ""
}
