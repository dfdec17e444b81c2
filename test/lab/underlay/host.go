package underlay

import (
	"context"
	"errors"
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

// HostConfig says where the host is in the nodes' networks.
type HostConfig struct {
	// V4 and V6 are the nodes' networks of each IP family.
	V4 HostNetwork // optional, default 192.168.127.0/24 with the addresses .1 and .254
	V6 HostNetwork // optional, default fd00:192:168:127::/64 with the addresses ::1 and ::254
	// MTU is that of the nodes' network devices, in bytes.
	MTU int // optional, default 1500
}

// HostNetwork says where the host is in a network of the nodes.
type HostNetwork struct {
	Subnet netip.Prefix
	// Gateway is an address of the subnet that the nodes have no use for; dials into nodes come
	// from it, and a DNS server answers there.
	Gateway netip.Addr
	// Loopback is an address of the subnet that stands for the host's 127.0.0.1.
	Loopback netip.Addr
}

// HostNetworks returns the defaults of HostConfig.
func HostNetworks() (v4, v6 HostNetwork) {
	v4 = HostNetwork{netip.MustParsePrefix("192.168.127.0/24"), netip.MustParseAddr("192.168.127.1"), netip.MustParseAddr("192.168.127.254")}
	v6 = HostNetwork{netip.MustParsePrefix("fd00:192:168:127::/64"), netip.MustParseAddr("fd00:192:168:127::1"), netip.MustParseAddr("fd00:192:168:127::254")}
	return v4, v6
}

// validate returns an error unless the network is of the family and holds the addresses.
func (n HostNetwork) validate(is4 bool) error {
	family := "IPv6"
	if is4 {
		family = "IPv4"
	}
	if n.Subnet.Addr().Is4() != is4 || !n.Subnet.Contains(n.Gateway) || !n.Subnet.Contains(n.Loopback) {
		return fmt.Errorf("the gateway %s and the loopback %s must be in the %s subnet %s", n.Gateway, n.Loopback, family, n.Subnet)
	}
	return nil
}

// defaults returns the configuration with everything set.
func (c HostConfig) defaults() HostConfig {
	v4, v6 := HostNetworks()
	if c.V4 == (HostNetwork{}) {
		c.V4 = v4
	}
	if c.V6 == (HostNetwork{}) {
		c.V6 = v6
	}
	if c.MTU == 0 {
		c.MTU = 1500
	}
	return c
}

// Host is the host in the nodes' network: a user-space network stack through which nodes reach
// servers on the host's loopback, and the host reaches the nodes. Its methods are safe for concurrent
// use.
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
	if err := errors.Join(config.V4.validate(true), config.V6.validate(false)); err != nil {
		return nil, fmt.Errorf("making the host's network: %w", err)
	}
	h := &Host{config: config}
	var networks []netstack.Network
	for _, n := range h.networks() {
		networks = append(networks, netstack.Network{Subnet: n.Subnet, Addresses: []netip.Addr{n.Gateway, n.Loopback}})
	}
	if h.stack, err = netstack.New(address, config.MTU, networks...); err != nil {
		return nil, fmt.Errorf("making the host's network: %w", err)
	}
	h.stack.Forward()
	for _, n := range h.networks() {
		if err := h.stack.ServeDNS(n.Gateway); err != nil {
			return nil, fmt.Errorf("making the host's network %s: %w", n.Subnet, err)
		}
	}
	return h, nil
}

func (h *Host) networks() []HostNetwork { return []HostNetwork{h.config.V4, h.config.V6} }

// Loopbacks returns the addresses at which nodes find the host's 127.0.0.1, IPv4 first.
func (h *Host) Loopbacks() []netip.Addr {
	return []netip.Addr{h.config.V4.Loopback, h.config.V6.Loopback}
}

// Network returns where the host is in the nodes' network of a family.
func (h *Host) Network(is4 bool) HostNetwork {
	if is4 {
		return h.config.V4
	}
	return h.config.V6
}

// Config returns the host's configuration, defaults filled in.
func (h *Host) Config() HostConfig { return h.config }

// DialContext connects to a TCP port of a node, by an IP address and a port. It works while the
// host's port is served.
func (h *Host) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if network != "tcp" && network != "tcp4" && network != "tcp6" {
		return nil, fmt.Errorf("dialing %s: network %q: only tcp reaches into nodes", address, network)
	}
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, fmt.Errorf("dialing %s: want an IP address and a port", address)
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
