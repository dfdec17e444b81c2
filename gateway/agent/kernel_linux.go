package agent

import (
	"context"
	"errors"
	"net/netip"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/gateway/ingress"
	"github.com/tombolo-net/tombolo/gateway/probe"
	"github.com/tombolo-net/tombolo/gateway/wireguard"
	"github.com/tombolo-net/tombolo/internal/kernel/firewall"
	"github.com/tombolo-net/tombolo/internal/kernel/nft"
	"github.com/tombolo-net/tombolo/internal/kernel/route"
	"github.com/tombolo-net/tombolo/internal/kernel/rtnl"
	"github.com/tombolo-net/tombolo/internal/kernel/vxlan"
	"github.com/tombolo-net/tombolo/internal/node"
)

// NewKernel returns the kernel of the network namespace that its methods are called in.
func NewKernel() Kernel {
	writes := &nft.Writes{}
	return Kernel{Tunnels: devices{wireguard.New()}, Traffic: wireguard.New(), Handover: handoverDevice{},
		Routes: route.GatewayOwner(), Table: firewall.New(firewall.GatewayTable).Share(writes), Ingress: ingress.New(writes), Host: thisNode{},
		Alarm: node.KernelAlarm}
}

// devices are wireguard's.
type devices struct{ *wireguard.Devices }

// Check implements tunnels.
func (devices) Check(mode v1alpha1.WireGuardMode) (userspace bool, err error) {
	return wireguard.Check(mode)
}

// handoverDevice is vxlan's.
type handoverDevice struct{}

// Read implements handover.
func (handoverDevice) Read(ctx context.Context) (vxlan.Config, error) {
	return vxlan.Read(ctx, vxlan.HandoverName)
}

// Apply implements handover.
func (handoverDevice) Apply(ctx context.Context, change vxlan.Change) (vxlan.Change, error) {
	return vxlan.Apply(ctx, change)
}

// thisNode is the node that this process runs on.
type thisNode struct{}

// CheckForwarding implements host.
func (thisNode) CheckForwarding(ipv6 bool) error { return checkForwarding(ipv6) }

// IPv6Off implements host.
func (thisNode) IPv6Off() string { return rtnl.IPv6Off("tombolo") }

// CheckPort implements host.
func (thisNode) CheckPort(ctx context.Context, port int) error { return wireguard.CheckPort(ctx, port) }

// Listen implements host.
func (thisNode) Listen(ctx context.Context, addr netip.Addr) (probe.Conn, error) {
	return probe.Listen(ctx, addr)
}

// UnderlayMTU implements host.
func (thisNode) UnderlayMTU(ctx context.Context, underlay []netip.Addr) (int, error) {
	if len(underlay) == 0 {
		return 0, errors.New("this node has no InternalIP in its Node object yet")
	}
	return rtnl.UnderlayMTU(ctx, underlay)
}
