package wireguard

import (
	"fmt"
	"syscall"
)

// PortInUseError says that a UDP port for a device is taken. It is a syscall.EADDRINUSE.
type PortInUseError struct {
	Port int
	// Device is the WireGuard device that has the port; empty if none has, or if nobody can tell.
	Device string
}

// Error names who may have the port, and the remedy.
func (e *PortInUseError) Error() string {
	holder := "another program (flannel, Calico and Kilo may use 51820, too)"
	if e.Device != "" {
		holder = "WireGuard device " + e.Device
	}
	return fmt.Sprintf("UDP port %d is used by %s: free it, or set ClusterSet.spec.gateway.port to another one", e.Port, holder)
}

// Unwrap returns syscall.EADDRINUSE.
func (*PortInUseError) Unwrap() error { return syscall.EADDRINUSE }
