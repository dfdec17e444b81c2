package underlay

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/tombolo-net/tombolo/test/lab/underlay/netstack"
)

// rawNode is a node that sends the frames it is told to, and answers nothing but ARP.
type rawNode struct {
	pipe    *pipe
	address netip.Addr
	synAcks chan layers.TCPPort // the ports of ours that the host agreed to be connected to
}

// attachRawNode starts a switch with the host and one node.
func attachRawNode(t *testing.T) (*Host, *rawNode) {
	t.Helper()
	h, err := NewHost(HostConfig{})
	if err != nil {
		t.Fatal(err)
	}
	s := New()
	hostPort, err := h.Attach(s)
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := newPipe(&s.frames)
	nodePort, err := s.Attach("node", theirs)
	if err != nil {
		t.Fatal(err)
	}
	serve(t, hostPort, nodePort)
	n := &rawNode{pipe: ours, address: netip.MustParseAddr("192.168.127.11"), synAcks: make(chan layers.TCPPort, 1000)}
	go n.listen()
	return h, n
}

// serve passes the ports' frames until the test ends.
func serve(t *testing.T, ports ...*Port) {
	t.Helper()
	for _, p := range ports {
		served := make(chan struct{})
		go func() { defer close(served); _ = p.Serve(t.Context()) }()
		t.Cleanup(func() { <-served })
	}
}

// listen answers ARP and notes SYN-ACKs until the pipe is closed.
func (n *rawNode) listen() {
	b := make([]byte, maxFrame)
	for {
		size, err := n.pipe.Read(b)
		if err != nil {
			return
		}
		p := gopacket.NewPacket(b[:size], layers.LayerTypeEthernet, gopacket.NoCopy)
		if a, ok := p.Layer(layers.LayerTypeARP).(*layers.ARP); ok && a.Operation == layers.ARPRequest {
			n.pipe.Write(arp(2, mac(a.SourceHwAddress), macA, n.address, mac(a.SourceHwAddress), netip.AddrFrom4([4]byte(a.SourceProtAddress))))
		}
		if tcp, ok := p.Layer(layers.LayerTypeTCP).(*layers.TCP); ok && tcp.SYN && tcp.ACK {
			select {
			case n.synAcks <- tcp.DstPort:
			default:
			}
		}
	}
}

// dial sends a SYN to an address of the host's.
func (n *rawNode) dial(t *testing.T, from uint16, to netip.AddrPort) {
	t.Helper()
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: n.address.AsSlice(), DstIP: to.Addr().AsSlice()}
	syn := &layers.TCP{SrcPort: layers.TCPPort(from), DstPort: layers.TCPPort(to.Port()), SYN: true, Window: 65535}
	if err := syn.SetNetworkLayerForChecksum(ip); err != nil {
		t.Fatal(err)
	}
	frame := serialize(t, layers.EthernetTypeIPv4, ip, syn)
	host, err := net.ParseMAC(gatewayMAC)
	if err != nil {
		t.Fatal(err)
	}
	copy(frame, host)
	n.pipe.Write(frame)
}

// A node that loses power, or that is slow, leaves connections half open. They must not keep
// anybody else from the servers on the host.
func TestHostHalfOpen(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	h, n := attachRawNode(t)
	to := netip.AddrPortFrom(h.Network(true).Loopback, netip.MustParseAddrPort(server.Addr().String()).Port())
	const connections = 200
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	agreed := make(map[layers.TCPPort]bool)
	for from := range uint16(connections) {
		for sent := false; !agreed[layers.TCPPort(10_000+from)]; {
			if !sent {
				n.dial(t, 10_000+from, to)
				sent = true
			}
			select {
			case p := <-n.synAcks:
				agreed[p] = true
			case <-ctx.Done():
				t.Fatalf("the host answered %d of %d connections that nobody completes", len(agreed), connections)
			}
		}
	}
}

// A connection carries bytes both ways, and each end is told when the other one has finished.
func TestHostDialsAndServes(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		for {
			c, err := server.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	for _, is4 := range []bool{true, false} {
		t.Run(fmt.Sprintf("IPv4 %v", is4), func(t *testing.T) { dialAndServe(t, server, is4) })
	}
}

// dialAndServe sends bytes from a node to an echo server on the host, and back.
func dialAndServe(t *testing.T, server net.Listener, is4 bool) {
	t.Helper()
	h, err := NewHost(HostConfig{})
	if err != nil {
		t.Fatal(err)
	}
	network := netstack.Network{Subnet: h.Network(is4).Subnet, Addresses: []netip.Addr{h.Network(is4).Gateway.Next()}}
	node, err := netstack.New(macA[:], 1500, network)
	if err != nil {
		t.Fatal(err)
	}
	s := New()
	hostPort, err := h.Attach(s)
	if err != nil {
		t.Fatal(err)
	}
	nodePort, err := s.Attach("node", node.Wire())
	if err != nil {
		t.Fatal(err)
	}
	serve(t, hostPort, nodePort)
	to := netip.AddrPortFrom(h.Network(is4).Loopback, netip.MustParseAddrPort(server.Addr().String()).Port())
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c, err := node.Dial(ctx, to)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	sent := make([]byte, 3<<20)
	go func() {
		_, _ = c.Write(sent)
		_ = c.(interface{ CloseWrite() error }).CloseWrite()
	}()
	got, err := io.ReadAll(c)
	if err != nil || len(got) != len(sent) {
		t.Errorf("%d of %d bytes came back: %v", len(got), len(sent), err)
	}
	refused := netip.AddrPortFrom(h.Network(is4).Loopback, 1)
	if c, err := node.Dial(ctx, refused); err == nil {
		c.Close()
		t.Errorf("a port that nobody serves took a connection")
	}
}
