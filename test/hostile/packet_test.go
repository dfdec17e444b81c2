//go:build e2e

package hostile

import (
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// packet is an IP packet of an attack. Zero fields: it is UDP from and to port 0.
type packet struct {
	from, to netip.Addr
	protocol layers.IPProtocol
	ports    [2]uint16 // source and destination, of TCP, UDP and SCTP
	ack      bool      // of TCP: it belongs to a connection, instead of beginning one
	icmp     [2]uint8  // type and code
	options  []layers.IPv4Option
	payload  []byte
}

// bytes is the packet on the wire, with the mark of attacks and the number of this one.
func (p packet) bytes(t *testing.T, number int) []byte {
	t.Helper()
	if p.protocol == 0 {
		p.protocol = layers.IPProtocolUDP
	}
	ip := p.header(number)
	all := []gopacket.SerializableLayer{ip}
	var checked interface {
		SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
	}
	switch p.protocol {
	case layers.IPProtocolUDP:
		udp := &layers.UDP{SrcPort: layers.UDPPort(p.ports[0]), DstPort: layers.UDPPort(p.ports[1])}
		checked, all = udp, append(all, udp)
	case layers.IPProtocolTCP:
		tcp := &layers.TCP{SrcPort: layers.TCPPort(p.ports[0]), DstPort: layers.TCPPort(p.ports[1]), SYN: !p.ack, ACK: p.ack, Window: 1000}
		checked, all = tcp, append(all, tcp)
	case layers.IPProtocolSCTP: // INIT, RFC 9260 section 3.3.2
		all = append(all, &layers.SCTP{SrcPort: layers.SCTPPort(p.ports[0]), DstPort: layers.SCTPPort(p.ports[1])},
			&layers.SCTPInit{SCTPChunk: layers.SCTPChunk{Type: layers.SCTPChunkTypeInit, Length: 20}, InitiateTag: 1, AdvertisedReceiverWindowCredit: 1500, OutboundStreams: 1, InboundStreams: 1})
	case layers.IPProtocolICMPv4:
		all = append(all, &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(p.icmp[0], p.icmp[1]), Id: uint16(number)})
	case layers.IPProtocolICMPv6:
		icmp := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(p.icmp[0], p.icmp[1])}
		checked, all = icmp, append(all, icmp, gopacket.Payload(make([]byte, 4)))
	}
	if checked != nil {
		if err := checked.SetNetworkLayerForChecksum(ip); err != nil {
			t.Fatal(err)
		}
	}
	return serialize(t, append(all, gopacket.Payload(p.payload))...)
}

// header is the packet's IP header, with the mark of attacks and the number of this one.
func (p packet) header(number int) interface {
	gopacket.SerializableLayer
	gopacket.NetworkLayer
} {
	if p.from.Is4() {
		return &layers.IPv4{
			Version: 4, TTL: 60, TOS: dscp << 2, Id: uint16(number), Protocol: p.protocol,
			SrcIP: p.from.AsSlice(), DstIP: p.to.AsSlice(), Options: p.options,
		}
	}
	return &layers.IPv6{
		Version: 6, HopLimit: 60, TrafficClass: dscp << 2, FlowLabel: uint32(number), NextHeader: p.protocol,
		SrcIP: p.from.AsSlice(), DstIP: p.to.AsSlice(),
	}
}

func serialize(t *testing.T, all ...gopacket.SerializableLayer) []byte {
	t.Helper()
	out := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(out, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, all...); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// inFrame is the payload of UDP that carries an IP packet over the VXLAN with this identifier to the node
// of this name.
func inFrame(t *testing.T, vni uint32, node string, inner []byte) []byte {
	t.Helper()
	mac, kind := clusterset.NodeMAC(node), layers.EthernetTypeIPv4
	if inner[0]>>4 == 6 {
		kind = layers.EthernetTypeIPv6
	}
	return serialize(t, &layers.VXLAN{ValidIDFlag: true, VNI: vni},
		&layers.Ethernet{SrcMAC: []byte{2, 0, 0, 0, 0, 1}, DstMAC: mac[:], EthernetType: kind}, gopacket.Payload(inner))
}
