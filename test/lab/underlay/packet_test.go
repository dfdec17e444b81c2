package underlay

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/ip4defrag"
	"github.com/google/gopacket/layers"
)

// udp is a UDP packet over IPv4 as gopacket writes it. Its checksums are gopacket's too.
type udp struct {
	from, to netip.AddrPort
	payload  string
	whole    bool // it may not be fragmented
}

// frame returns the packet in a frame from macA to macB.
func (u udp) frame(t *testing.T) []byte {
	t.Helper()
	ip := &layers.IPv4{
		Version: 4, TTL: 64, Id: 7, Protocol: layers.IPProtocolUDP,
		SrcIP: u.from.Addr().AsSlice(), DstIP: u.to.Addr().AsSlice(),
	}
	if u.whole {
		ip.Flags = layers.IPv4DontFragment
	}
	datagram := &layers.UDP{SrcPort: layers.UDPPort(u.from.Port()), DstPort: layers.UDPPort(u.to.Port())}
	if err := datagram.SetNetworkLayerForChecksum(ip); err != nil {
		t.Fatal(err)
	}
	return serialize(t, layers.EthernetTypeIPv4, ip, datagram, gopacket.Payload(u.payload))
}

// serialize returns a frame from macA to macB with these layers in it.
func serialize(t *testing.T, kind layers.EthernetType, all ...gopacket.SerializableLayer) []byte {
	t.Helper()
	ethernet := &layers.Ethernet{SrcMAC: macA[:], DstMAC: macB[:], EthernetType: kind}
	out := gopacket.NewSerializeBuffer()
	o := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(out, o, append([]gopacket.SerializableLayer{ethernet}, all...)...); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// payloadOf returns what received shows of a frame that arrived.
func payloadOf(frame []byte) string { return string(frame[headerSize:]) }

func port(text string) netip.AddrPort { return netip.MustParseAddrPort(text) }

func TestCutSelected(t *testing.T) {
	there := udp{from: port("10.0.0.1:51820"), to: port("10.0.0.2:51821"), payload: "x"}.frame(t)
	other := udp{from: port("10.0.0.1:7473"), to: port("10.0.0.2:7473"), payload: "x"}.frame(t)
	for _, tt := range []struct {
		name  string
		which Selection
		// what passes: from a to b and from b to a, of a packet of these ports and of another
		there, otherThere, back, otherBack bool
	}{
		{"all", Selection{}, false, false, false, false},
		{"one way", Selection{OneWay: true}, false, false, true, true},
		{"the source's port", Selection{Ports: PortRange{51820, 51820}}, false, true, false, true},
		{"the destination's port", Selection{Ports: PortRange{51821, 51821}}, false, true, false, true},
		{"a range", Selection{Ports: PortRange{51000, 52000}}, false, true, false, true},
		{"a port, one way", Selection{OneWay: true, Ports: PortRange{51820, 51820}}, false, true, true, true},
		{"ports that nobody has", Selection{Ports: PortRange{1, 2}}, true, true, true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSegment(t, "a", "b")
				if err := s.Cut("a", "b", tt.which); err != nil {
					t.Fatal(err)
				}
				for _, way := range []struct {
					from, to       string
					passes, others bool
				}{{"a", "b", tt.there, tt.otherThere}, {"b", "a", tt.back, tt.otherBack}} {
					for _, f := range []struct {
						frame  []byte
						passes bool
					}{{there, way.passes}, {other, way.others}} {
						s.send(way.from, f.frame)
						if got := len(s.received()[way.to]) == 1; got != f.passes {
							t.Errorf("from %s to %s: %x passes: %t, want %t", way.from, way.to, f.frame[headerSize+20:headerSize+24], got, f.passes)
						}
					}
				}
				if err := s.Heal("b", "a"); err != nil {
					t.Fatal(err)
				}
				s.send("a", there)
				if len(s.received()["b"]) != 1 {
					t.Error("it does not pass though all is healed")
				}
			})
		})
	}
}

func TestMTU(t *testing.T) {
	large := udp{from: port("10.0.0.1:1000"), to: port("10.0.0.2:2000"), payload: string(make([]byte, 1400))}
	synctest.Test(t, func(t *testing.T) {
		s := newSegment(t, "a", "b")
		if err := s.MTU("a", "b", 1000, false); err != nil {
			t.Fatal(err)
		}
		s.send("a", udp{from: large.from, to: large.to, payload: "small"}.frame(t))
		if got := len(s.received()["b"]); got != 1 {
			t.Errorf("%d small packets passed, want 1", got)
		}
		s.send("a", large.frame(t))
		fragments := s.received()["b"]
		if diff := cmp.Diff(payloadOf(large.frame(t))[20:], reassemble(t, fragments)); diff != "" {
			t.Errorf("the fragments put together (-want +got):\n%s", diff)
		}
		for _, f := range fragments {
			if len(f) > 1000 {
				t.Errorf("a fragment of %d bytes", len(f))
			}
		}
		large.whole = true
		s.send("a", large.frame(t))
		got := s.received()
		if len(got["b"]) > 0 || len(got["a"]) != 1 {
			t.Fatalf("a packet that may not be fragmented: %d for its receiver, %d for its sender, want 0 and 1", len(got["b"]), len(got["a"]))
		}
		assertTooLarge(t, got["a"][0], 1000)
		if err := s.MTU("a", "b", 1000, true); err != nil {
			t.Fatal(err)
		}
		s.send("a", large.frame(t))
		if got := s.received(); len(got) > 0 {
			t.Errorf("silent: %d stations got something", len(got))
		}
		if err := s.MTU("a", "b", 0, false); err != nil {
			t.Fatal(err)
		}
		s.send("a", large.frame(t))
		if got := len(s.received()["b"]); got != 1 {
			t.Errorf("taken back: %d packets passed, want 1", got)
		}
	})
}

// reassemble puts fragments together, the last first, and returns the packet's payload.
func reassemble(t *testing.T, fragments []string) string {
	t.Helper()
	whole := ip4defrag.NewIPv4Defragmenter()
	for i := len(fragments) - 1; i >= 0; i-- {
		packet := gopacket.NewPacket([]byte(fragments[i]), layers.LayerTypeIPv4, gopacket.Default)
		ip, ok := packet.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
		if !ok {
			t.Fatalf("not an IPv4 packet: %v", packet)
		}
		if sum := checksum(ip.Contents); sum != 0 {
			t.Errorf("the sum over a fragment's header is %#x", sum)
		}
		out, err := whole.DefragIPv4(ip)
		if err != nil {
			t.Fatal(err)
		}
		if out != nil {
			return string(out.Payload)
		}
	}
	t.Fatalf("%d fragments are not a whole", len(fragments))
	return ""
}

// assertTooLarge checks that the packet tells 10.0.0.1 of this MTU.
func assertTooLarge(t *testing.T, packet string, mtu uint16) {
	t.Helper()
	parsed := gopacket.NewPacket([]byte(packet), layers.LayerTypeIPv4, gopacket.Default)
	ip, okIP := parsed.Layer(layers.LayerTypeIPv4).(*layers.IPv4)
	icmp, okICMP := parsed.Layer(layers.LayerTypeICMPv4).(*layers.ICMPv4)
	if !okIP || !okICMP {
		t.Fatalf("not an ICMP packet: %v", parsed)
	}
	want := layers.CreateICMPv4TypeCode(layers.ICMPv4TypeDestinationUnreachable, layers.ICMPv4CodeFragmentationNeeded)
	if icmp.TypeCode != want || icmp.Seq != mtu || !ip.DstIP.Equal(net.IPv4(10, 0, 0, 1)) {
		t.Errorf("to %s: %s with MTU %d, want %s with %d", ip.DstIP, icmp.TypeCode, icmp.Seq, want, mtu)
	}
	if len(icmp.Payload) != quoted {
		t.Errorf("it quotes %d bytes, want %d", len(icmp.Payload), quoted)
	}
	if sum := checksum(append(icmp.Contents, icmp.Payload...)); sum != 0 {
		t.Errorf("its sum is %#x", sum)
	}
}

func TestPacketFaultErrors(t *testing.T) {
	s := newSwitch(t, "a", "b")
	inside, outside := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.101")
	for _, tt := range []struct {
		name string
		err  error
		want error
	}{
		{"ports the wrong way round", s.Cut("a", "b", Selection{Ports: PortRange{2, 1}}), ErrOutOfRange},
		{"an MTU too small", s.MTU("a", "b", 67, false), ErrOutOfRange},
		{"an MTU too large", s.MTU("a", "b", 1<<16, false), ErrOutOfRange},
		{"an MTU of nobody", s.MTU("a", "nobody", 1000, false), ErrUnknownPort},
		{"a NAT that changes nothing", s.Translate("a", "b", inside, inside), ErrOutOfRange},
		{"a NAT for IPv6", s.Translate("a", "b", netip.IPv6Loopback(), outside), ErrOutOfRange},
		{"a NAT of all", s.Translate("*", "b", inside, outside), ErrUnknownPort},
		{"a NAT of nobody", s.Translate("nobody", "b", inside, outside), ErrUnknownPort},
	} {
		if !errors.Is(tt.err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, tt.err, tt.want)
		}
	}
}

// newSwitch returns a switch with ports that nothing is plugged into.
func newSwitch(t *testing.T, names ...string) *Switch {
	t.Helper()
	s := New()
	for _, name := range names {
		if _, err := s.add(name); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func TestParsePortRange(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want PortRange
		err  error
	}{
		{"51820", PortRange{51820, 51820}, nil},
		{"51820-51883", PortRange{51820, 51883}, nil},
		{"2-1", PortRange{}, ErrOutOfRange},
		{"0", PortRange{}, ErrOutOfRange},
		{"65536", PortRange{}, ErrOutOfRange},
		{"wg", PortRange{}, ErrOutOfRange},
		{"1-", PortRange{}, ErrOutOfRange},
	} {
		got, err := ParsePortRange(tt.in)
		if got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%q: %v, %v, want %v, %v", tt.in, got, err, tt.want, tt.err)
		}
		if back, err := ParsePortRange(got.String()); tt.err == nil && (back != got || err != nil) {
			t.Errorf("%v is read back as %v, %v", got, back, err)
		}
	}
}
