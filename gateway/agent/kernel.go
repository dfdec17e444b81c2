package agent

import (
	"context"
	"net/netip"
	"time"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/gateway/ingress"
	"github.com/tombolo-net/tombolo/gateway/probe"
	"github.com/tombolo-net/tombolo/gateway/wireguard"
	"github.com/tombolo-net/tombolo/internal/kernel/firewall"
	"github.com/tombolo-net/tombolo/internal/kernel/route"
	"github.com/tombolo-net/tombolo/internal/kernel/vxlan"
	"github.com/tombolo-net/tombolo/internal/node"
)

// Kernel is this node's kernel, as the agent uses it. NewKernel returns the real one.
type Kernel struct {
	// Tunnels are the WireGuard devices. One goroutine at a time uses them.
	Tunnels tunnels
	// Traffic reads the same devices, at any time, for the counters of bytes.
	Traffic tunnelReader
	// Handover is the device that leads to the other gateways of this cluster.
	Handover handover
	// Routes are the gateway's routes and rules.
	Routes routes
	// Table is the gateway's nftables table.
	Table guardTable
	// Ingress is the filter on the way in.
	Ingress ingressTable
	// Host is the rest of the node.
	Host host
	// Alarm returns what a loop waits with.
	Alarm func() node.Alarm // optional, default a time.Timer
}

// tunnelReader reads WireGuard devices.
type tunnelReader interface {
	Read(context.Context) (wireguard.State, error)
}

// tunnels makes WireGuard devices.
type tunnels interface {
	tunnelReader
	// Check chooses who serves the devices: the kernel, or this process. It returns an error that
	// names the remedy if nobody can.
	Check(v1alpha1.WireGuardMode) (userspace bool, err error)
	// Run serves what this process serves until the context ends.
	Run(context.Context) error
	Sync(context.Context, wireguard.Config) (wireguard.Change, error)
}

// handover makes the device for hand-over.
type handover interface {
	Read(context.Context) (vxlan.Config, error)
	Apply(context.Context, vxlan.Change) (vxlan.Change, error)
}

// routes makes the gateway's routes and rules.
type routes interface {
	Read(context.Context) (route.Config, error)
	Apply(context.Context, route.Change) (route.Change, error)
}

// table makes an nftables table. One goroutine at a time uses it.
type table interface {
	Sync(context.Context, firewall.Config) (firewall.Change, error)
}

// guardTable makes the gateway's nftables table. One goroutine at a time uses it.
type guardTable interface {
	table
	// Blocked returns an error for each passage of the Config whose packets are dropped.
	Blocked(now time.Time, want firewall.Config) ([]error, error)
}

// ingressTable makes the filter on the way in. One goroutine at a time uses it.
type ingressTable interface {
	table
	// Dropped is what was dropped since the table was made. It may be called at any time.
	Dropped() (ingress.Dropped, error)
}

// host is what the gateway needs to know of its node.
type host interface {
	// CheckForwarding returns an error that names the remedy if the node does not forward IPv4, or
	// IPv6 if asked.
	CheckForwarding(ipv6 bool) error
	// IPv6Off says why the tunnels of this node cannot have IPv6; empty if they can.
	IPv6Off() string
	// CheckPort returns a *wireguard.PortInUseError if the UDP port is taken.
	CheckPort(ctx context.Context, port int) error
	// UnderlayMTU is the smallest MTU of the links that have these addresses. The error names an
	// address that no link has.
	UnderlayMTU(context.Context, []netip.Addr) (int, error)
	// Listen opens the socket for probes at this node's tunnel address.
	Listen(context.Context, netip.Addr) (probe.Conn, error)
}
