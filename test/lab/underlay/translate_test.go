package underlay

import (
	"net/netip"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// TestTranslate: what comes out is what gopacket writes for the other address and port, checksums
// included; and only a peer that was sent to, and its port, gets in.
func TestTranslate(t *testing.T) {
	const peer, stranger = "10.0.0.2:7000", "10.0.0.3:7000"
	for _, tt := range []struct {
		name string
		sent []string // peers that the node has sent to before, from port 500
		from string   // "node", or the peer that sends now
		to   string
		want *udp // nil: it does not get through
	}{
		{"out", nil, "node", peer, &udp{from: port("10.0.0.101:40000"), to: port(peer)}},
		{"out to another, from the same port", []string{peer}, "node", stranger, &udp{from: port("10.0.0.101:40000"), to: port(stranger)}},
		{"an answer", []string{peer}, peer, "10.0.0.101:40000", &udp{from: port(peer), to: port("10.0.0.1:500")}},
		{"from a stranger", []string{peer}, stranger, "10.0.0.101:40000", nil},
		{"from another port of the peer", []string{peer}, "10.0.0.2:7001", "10.0.0.101:40000", nil},
		{"to another port", []string{peer}, peer, "10.0.0.101:500", nil},
		{"to the address inside", []string{peer}, peer, "10.0.0.1:500", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newTranslated(t)
				for _, to := range tt.sent {
					s.send("a", udp{from: port("10.0.0.1:500"), to: port(to)}.frame(t))
				}
				s.received()
				sender, receiver := "b", "a"
				packet := udp{to: port(tt.to), payload: "some words"}
				if tt.from == "node" {
					sender, receiver, packet.from = "a", "b", port("10.0.0.1:500")
				} else {
					packet.from = port(tt.from)
				}
				s.send(sender, packet.frame(t))
				var want []string
				if tt.want != nil {
					tt.want.payload = packet.payload
					want = []string{payloadOf(tt.want.frame(t))}
				}
				if diff := cmp.Diff(want, s.received()[receiver]); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		})
	}
}

// newTranslated returns a segment where a, 10.0.0.1, is 10.0.0.101 for b.
func newTranslated(t *testing.T) *segment {
	t.Helper()
	s := newSegment(t, "a", "b")
	if err := s.Translate("a", "b", netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.101")); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTranslateOthers(t *testing.T) {
	const inside, outside, peer = "10.0.0.1", "10.0.0.101", "10.0.0.2"
	for _, tt := range []struct {
		name     string
		from     string
		in, want []byte // want nil: it does not get through
	}{
		{"a question for the address outside", "b", arpFrame(t, 1, peer, outside), arpFrame(t, 1, peer, inside)},
		{"a question for the address inside", "b", arpFrame(t, 1, peer, inside), nil},
		{"the node's question", "a", arpFrame(t, 1, inside, peer), arpFrame(t, 1, outside, peer)},
		{"the node's answer", "a", arpFrame(t, 2, inside, peer), arpFrame(t, 2, outside, peer)},
		{"TCP", "a", tcp(t, inside+":500", peer+":80"), tcp(t, outside+":40000", peer+":80")},
		{"ping", "a", ping(t, inside, peer, 77), ping(t, outside, peer, 40000)},
		{"a protocol without ports", "a", serialize(t, layers.EthernetTypeIPv4, &layers.IPv4{
			Version: 4, TTL: 64, Protocol: layers.IPProtocolGRE, SrcIP: netip.MustParseAddr(inside).AsSlice(), DstIP: netip.MustParseAddr(peer).AsSlice(),
		}, gopacket.Payload("12345678")), nil},
		{"another protocol", "a", frame(macB, macA, "x"), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newTranslated(t)
				s.send(tt.from, tt.in)
				var want []string
				if tt.want != nil {
					want = []string{payloadOf(tt.want)}
				}
				if diff := cmp.Diff(want, s.received()[map[string]string{"a": "b", "b": "a"}[tt.from]]); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		})
	}
}

func arpFrame(t *testing.T, operation uint16, from, to string) []byte {
	t.Helper()
	return serialize(t, layers.EthernetTypeARP, &layers.ARP{
		AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4, Operation: operation,
		SourceHwAddress: macA[:], SourceProtAddress: netip.MustParseAddr(from).AsSlice(),
		DstHwAddress: macB[:], DstProtAddress: netip.MustParseAddr(to).AsSlice(),
	})
}

func tcp(t *testing.T, from, to string) []byte {
	t.Helper()
	a, b := port(from), port(to)
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolTCP, SrcIP: a.Addr().AsSlice(), DstIP: b.Addr().AsSlice()}
	segment := &layers.TCP{SrcPort: layers.TCPPort(a.Port()), DstPort: layers.TCPPort(b.Port()), SYN: true, Seq: 1, Window: 100}
	if err := segment.SetNetworkLayerForChecksum(ip); err != nil {
		t.Fatal(err)
	}
	return serialize(t, layers.EthernetTypeIPv4, ip, segment)
}

func ping(t *testing.T, from, to string, id uint16) []byte {
	t.Helper()
	ip := &layers.IPv4{
		Version: 4, TTL: 64, Protocol: layers.IPProtocolICMPv4,
		SrcIP: netip.MustParseAddr(from).AsSlice(), DstIP: netip.MustParseAddr(to).AsSlice(),
	}
	echo := &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(layers.ICMPv4TypeEchoRequest, 0), Id: id, Seq: 1}
	return serialize(t, layers.EthernetTypeIPv4, ip, echo, gopacket.Payload("abcdefgh"))
}
