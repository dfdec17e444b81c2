package underlay

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"github.com/tombolo-net/tombolo/test/lab/underlay/netstack"
)

const (
	// HostPort is the name of the host's port. Faults and captures leave it out unless it is named.
	HostPort = "host"

	// gatewayMAC is the address of the host's port: locally administered, from the letters of
	// tombolo.
	gatewayMAC = "02:74:6f:6d:62:6f"
)

// HostConfig says where the host is in the nodes' network.
type HostConfig struct {
	// Subnet is the nodes' IPv4 network.
	Subnet netip.Prefix // optional, default 192.168.127.0/24
	// Gateway is an address of the subnet that the nodes have no use for; dials into nodes come
	// from it.
	Gateway netip.Addr // optional, default the subnet's first
	// Loopback is an address of the subnet that stands for the host's 127.0.0.1.
	Loopback netip.Addr // optional, default the subnet's last before broadcast
	// MTU is that of the nodes' network devices, in bytes.
	MTU int // optional, default 1500
}

// defaults returns the configuration with everything set.
func (c HostConfig) defaults() HostConfig {
	if !c.Subnet.IsValid() {
		c.Subnet = netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 168, 127, 0}), 24)
	}
	if !c.Gateway.IsValid() {
		c.Gateway = c.Subnet.Masked().Addr().Next()
	}
	if !c.Loopback.IsValid() {
		c.Loopback = last(c.Subnet).Prev()
	}
	if c.MTU == 0 {
		c.MTU = 1500
	}
	return c
}

// last returns the last address of an IPv4 prefix.
func last(p netip.Prefix) netip.Addr {
	a := p.Masked().Addr().As4()
	for bit := p.Bits(); bit < 32; bit++ {
		a[bit/8] |= 1 << (7 - bit%8)
	}
	return netip.AddrFrom4(a)
}

// Host is the host in the nodes' network: a user-space network stack through which nodes reach
// servers on the host's loopback, and the host reaches the nodes. It speaks IPv4 only. Its methods
// are safe for concurrent use.
type Host struct {
	config HostConfig
	stack  *netstack.Stack
}

// NewHost makes the network stack, which lives as long as the process.
func NewHost(config HostConfig) (*Host, error) {
	config = config.defaults()
	address, err := net.ParseMAC(gatewayMAC)
	if err != nil {
		return nil, fmt.Errorf("making the host's network: %w", err)
	}
	if !config.Subnet.Addr().Is4() || !config.Subnet.Contains(config.Gateway) || !config.Subnet.Contains(config.Loopback) {
		return nil, fmt.Errorf("making the host's network: the gateway %s and the loopback %s must be in the IPv4 subnet %s", config.Gateway, config.Loopback, config.Subnet)
	}
	h := &Host{config: config}
	if h.stack, err = netstack.New(address, config.MTU, config.Subnet, config.Gateway, config.Loopback); err != nil {
		return nil, fmt.Errorf("making the host's network %s: %w", config.Subnet, err)
	}
	h.stack.Forward()
	if err := h.stack.ServeDNS(config.Gateway); err != nil {
		return nil, fmt.Errorf("making the host's network %s: %w", config.Subnet, err)
	}
	return h, nil
}

// Loopback returns the address at which nodes find the host's 127.0.0.1.
func (h *Host) Loopback() netip.Addr { return h.config.Loopback }

// Config returns the host's configuration, defaults filled in.
func (h *Host) Config() HostConfig { return h.config }

// DialContext connects to a TCP port of a node, whose address is an IPv4 address and a port. It
// works while the host's port is served.
func (h *Host) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if network != "tcp" && network != "tcp4" {
		return nil, fmt.Errorf("dialing %s: network %q: only tcp reaches into nodes", address, network)
	}
	to, err := netip.ParseAddrPort(address)
	if err != nil || !to.Addr().Is4() {
		return nil, fmt.Errorf("dialing %s: want an IPv4 address and a port", address)
	}
	conn, err := h.stack.Dial(ctx, to)
	if err != nil {
		return nil, fmt.Errorf("dialing %s: %w", address, err)
	}
	return conn, nil
}

// Attach plugs the host into sw, at the port called HostPort. Frames flow once the port's Serve
// runs.
func (h *Host) Attach(sw *Switch) (*Port, error) {
	return sw.Attach(HostPort, h.stack.Wire())
}
