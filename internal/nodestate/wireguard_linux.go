package nodestate

import (
	"errors"
	"fmt"
	"io"

	"golang.zx2c4.com/wireguard/wgctrl"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

// WireGuard prints the devices of the kernel and their peers, and those that an agent of the same pod
// serves itself.
func WireGuard(out io.Writer) (err error) {
	client, err := wgctrl.New()
	if err != nil {
		return fmt.Errorf("opening WireGuard's netlink family: %w", err)
	}
	defer func() { err = errors.Join(err, client.Close()) }()
	devices, err := client.Devices()
	if err != nil {
		return fmt.Errorf("listing WireGuard devices: %w", err)
	}
	writeDevices(out, devices)
	return nil
}

func writeDevices(out io.Writer, devices []*wgtypes.Device) {
	for _, d := range devices {
		fmt.Fprintf(out, "%s: public key %s, port %d, mark %#x, %s\n", d.Name, d.PublicKey, d.ListenPort, d.FirewallMark, d.Type)
		for _, p := range d.Peers {
			fmt.Fprintf(out, "  peer %s: endpoint %v, last handshake %v, received %d, sent %d, keepalive %s, preshared key %t, allowed IPs %v\n",
				p.PublicKey, p.Endpoint, p.LastHandshakeTime, p.ReceiveBytes, p.TransmitBytes, p.PersistentKeepaliveInterval,
				p.PresharedKey != wgtypes.Key{}, p.AllowedIPs)
		}
	}
}
