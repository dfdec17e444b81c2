// Package netstack is a user-space network stack that is plugged into a network of frames.
package netstack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"

	"github.com/containers/gvisor-tap-vsock/pkg/services/dns"
	"github.com/inetaf/tcpproxy"
	"github.com/sirupsen/logrus"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/link/ethernet"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
)

const (
	// nic is the number of a stack's only device.
	nic = 1
	// stackFrames is how many frames may wait for the switch.
	stackFrames = 4096
	// halfOpen is how many connections of nodes may be in the making. A node that loses power in
	// between keeps its place for a minute.
	halfOpen = 4096
	dnsPort  = 53
)

// Stack is a user-space network stack behind one Ethernet device. It speaks IPv4 and IPv6. It lives
// as long as the process. Its methods are safe for concurrent use.
type Stack struct {
	stack   *stack.Stack
	device  *channel.Endpoint
	address net.HardwareAddr
}

// Network is an IP network that a stack's device is in, with the device's addresses there. Dials
// come from the first.
type Network struct {
	Subnet    netip.Prefix
	Addresses []netip.Addr // of the subnet's family
}

// New makes a stack whose device has an Ethernet address, an MTU in bytes, and addresses in these
// networks.
func New(address net.HardwareAddr, mtu int, networks ...Network) (*Stack, error) {
	s := &Stack{
		stack: stack.New(stack.Options{
			NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, arp.NewProtocol, ipv6.NewProtocol},
			TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6},
		}),
		device:  channel.New(stackFrames, uint32(mtu), tcpip.LinkAddress(address)),
		address: address,
	}
	// Nodes leave checksums to their devices, and between two processes no bit flips.
	s.device.LinkEPCapabilities = stack.CapabilityResolutionRequired | stack.CapabilityRXChecksumOffload
	if err := s.stack.CreateNIC(nic, ethernet.New(s.device)); err != nil {
		return nil, fmt.Errorf("making the device: %s", err)
	}
	for _, n := range networks {
		if err := s.join(n); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// join puts the device into a network.
func (s *Stack) join(n Network) error {
	for _, a := range n.Addresses {
		protocol := tcpip.ProtocolAddress{Protocol: protocolOf(a), AddressWithPrefix: tcpip.AddressWithPrefix{
			Address: tcpip.AddrFromSlice(a.AsSlice()), PrefixLen: n.Subnet.Bits(),
		}}
		if err := s.stack.AddProtocolAddress(nic, protocol, stack.AddressProperties{}); err != nil {
			return fmt.Errorf("giving the device %s: %s", a, err)
		}
	}
	s.stack.AddRoute(tcpip.Route{
		Destination: tcpip.AddressWithPrefix{Address: tcpip.AddrFromSlice(n.Subnet.Masked().Addr().AsSlice()), PrefixLen: n.Subnet.Bits()}.Subnet(),
		NIC:         nic,
	})
	return nil
}

// protocolOf is the network protocol of an address.
func protocolOf(a netip.Addr) tcpip.NetworkProtocolNumber {
	if a.Is4() {
		return ipv4.ProtocolNumber
	}
	return ipv6.ProtocolNumber
}

// Dial connects to a TCP port.
func (s *Stack) Dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	return gonet.DialContextTCP(ctx, s.stack, fullAddress(to), protocolOf(to.Addr()))
}

// Forward connects whoever dials a TCP port of the stack to that port of the host's loopback, or
// refuses, as the host does.
func (s *Stack) Forward() {
	f := tcp.NewForwarder(s.stack, 0, halfOpen, func(r *tcp.ForwarderRequest) {
		server, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(r.ID().LocalPort))))
		if err != nil {
			r.Complete(true)
			return
		}
		var events waiter.Queue
		end, refused := r.CreateEndpoint(&events)
		r.Complete(false)
		if refused != nil {
			server.Close()
			logrus.Infof("a connection of %s to port %d ended before it began: %s", r.ID().RemoteAddress, r.ID().LocalPort, refused)
			return
		}
		splice := tcpproxy.DialProxy{DialContext: func(context.Context, string, string) (net.Conn, error) { return server, nil }}
		splice.HandleConn(gonet.NewTCPConn(&events, end))
	})
	s.stack.SetTransportProtocolHandler(tcp.ProtocolNumber, f.HandlePacket)
}

// ServeDNS answers DNS questions at an address of the stack as the host's resolver does.
func (s *Stack) ServeDNS(at netip.Addr) error {
	address := fullAddress(netip.AddrPortFrom(at, dnsPort))
	packets, err := gonet.DialUDP(s.stack, &address, nil, protocolOf(at))
	if err != nil {
		return fmt.Errorf("opening UDP port %d of %s: %w", dnsPort, at, err)
	}
	connections, err := gonet.ListenTCP(s.stack, address, protocolOf(at))
	if err != nil {
		return fmt.Errorf("opening TCP port %d of %s: %w", dnsPort, at, err)
	}
	server, err := dns.New(packets, connections, nil)
	if err != nil {
		return fmt.Errorf("making the DNS server of %s: %w", at, err)
	}
	for _, serve := range []func() error{server.Serve, server.ServeTCP} {
		go func() { logrus.Errorf("the DNS server of %s ended: %v", at, serve()) }()
	}
	return nil
}

// fullAddress is an address in the stack's terms.
func fullAddress(a netip.AddrPort) tcpip.FullAddress {
	return tcpip.FullAddress{NIC: nic, Addr: tcpip.AddrFromSlice(a.Addr().AsSlice()), Port: a.Port()}
}

// Wire returns the stack's device: a Read returns a frame that the stack sends, a Write takes one
// for it. It works until it is closed.
func (s *Stack) Wire() io.ReadWriteCloser {
	ctx, cancel := context.WithCancel(context.Background())
	return &wire{Stack: s, ctx: ctx, cancel: cancel}
}

// wire reads what a stack sends and hands it what arrives.
type wire struct {
	*Stack
	ctx    context.Context //nolint:containedctx // Read has no argument for it
	cancel context.CancelFunc
}

// errWireClosed is the end of a wire.
var errWireClosed = errors.New("the wire is closed")

// Read returns the next frame that the stack sends.
func (w *wire) Read(b []byte) (int, error) {
	p := w.device.ReadContext(w.ctx)
	if p == nil {
		return 0, errWireClosed
	}
	defer p.DecRef()
	n := 0
	for _, part := range p.AsSlices() {
		n += copy(b[n:], part)
	}
	return n, nil
}

// multicast6 begins the Ethernet addresses of IPv6 multicast (RFC 2464 section 7), by which
// neighbours are asked for.
var multicast6 = []byte{0x33, 0x33}

// Write hands the stack a frame, if it is for its device, for all, or for a group of IPv6: the stack
// knows whether it is in it.
func (w *wire) Write(frame []byte) (int, error) {
	to := frame[:6]
	if !bytes.Equal(to, w.address) && tcpip.LinkAddress(to) != header.EthernetBroadcastAddress && !bytes.HasPrefix(to, multicast6) {
		return len(frame), nil
	}
	p := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithData(frame)})
	defer p.DecRef()
	w.device.InjectInbound(0, p) // the protocol is in the frame
	return len(frame), nil
}

// Close ends a Read that waits.
func (w *wire) Close() error {
	w.cancel()
	return nil
}
