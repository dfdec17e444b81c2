package node

import (
	"fmt"
	"net/netip"
	"os"
)

// writeCNIConfig tells containerd how to connect a pod: a veth pair of its own,
// addresses from cidrs, and host ports. mtu 0 is the plugin's default.
func writeCNIConfig(cidrs []netip.Prefix, mtu int) error {
	var ranges []any
	routes := []object{}
	for _, c := range cidrs {
		ranges = append(ranges, []object{{"subnet": c.String()}})
		all := "0.0.0.0/0"
		if c.Addr().Is6() {
			all = "::/0"
		}
		routes = append(routes, object{"dst": all})
	}
	ptp := object{
		"type": "ptp",
		"ipam": object{"type": "host-local", "ranges": ranges, "routes": routes},
	}
	if mtu != 0 {
		ptp["mtu"] = mtu
	}
	portmap := object{"type": "portmap", "capabilities": object{"portMappings": true}}
	// Renamed into its place: containerd reads what it finds there at once.
	temporary := cniConfig + ".new"
	err := writeJSON(temporary, object{"cniVersion": "1.0.0", "name": "lab", "plugins": []object{ptp, portmap}})
	if err != nil {
		return err
	}
	if err := os.Rename(temporary, cniConfig); err != nil {
		return fmt.Errorf("writing the CNI configuration: %w", err)
	}
	return nil
}
