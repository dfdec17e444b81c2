package agent

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// checkForwarding returns an error if the node does not forward IPv4, or IPv6 if asked. A node of
// Kubernetes forwards; if this one does not, somebody changed it.
func checkForwarding(ipv6 bool) error {
	settings := []string{"net/ipv4/ip_forward"}
	if ipv6 {
		settings = append(settings, "net/ipv6/conf/all/forwarding")
	}
	for _, s := range settings {
		value, err := os.ReadFile(filepath.Join("/proc/sys", s))
		if err != nil {
			return fmt.Errorf("reading whether the node forwards: %w", err)
		}
		if name := strings.ReplaceAll(s, "/", "."); strings.TrimSpace(string(value)) == "0" {
			return fmt.Errorf("the node does not forward packets: %s is 0; set it, with: sysctl -w %s=1", name, name)
		}
	}
	return nil
}
