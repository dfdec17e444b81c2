package underlay

import (
	"bytes"
	"encoding/binary"
	"slices"
	"sync"
)

// firstOutside is the first port that a translator gives; the ports below are for those who want to
// be found.
const firstOutside = 40000

// translator is a NAT in front of one machine. It is safe for concurrent use.
type translator struct {
	inside, outside [4]byte

	mu      sync.Mutex
	ports   map[service]uint16 // guarded by mu; outside, by what is inside
	back    map[service]uint16 // guarded by mu; inside, by what is outside
	allowed map[flow]bool      // guarded by mu; who may send in
	next    uint16             // guarded by mu; the next port outside
}

// service is a port, or an echo's identifier, of a protocol.
type service struct {
	protocol byte
	port     uint16
}

// flow is a service outside and the peer that it has sent to.
type flow struct {
	outside service
	peer    [4]byte
	port    uint16 // 0 for echoes
}

func newTranslator(inside, outside [4]byte) *translator {
	return &translator{
		inside: inside, outside: outside, next: firstOutside,
		ports: map[service]uint16{}, back: map[service]uint16{}, allowed: map[flow]bool{},
	}
}

// translate returns the frame as the other side sees it, or nil if it does not pass.
func (t *translator) translate(frame []byte, outward bool) []byte {
	frame = slices.Clone(frame) // its memory is the sender's, and others may get it too
	switch typeOf(frame) {
	case typeARP:
		return t.translateARP(frame, outward)
	case typeIPv4:
		p := asIPv4(frame)
		if p == nil || p.flags()&^dontFragment != 0 { // a fragment shows no port
			return nil
		}
		if outward && t.out(p) || !outward && t.in(p) {
			return frame
		}
	}
	return nil
}

// Where the addresses of an ARP packet for IPv4 over Ethernet are in its frame (RFC 826).
const (
	arpSender, arpTarget = headerSize + 14, headerSize + 24
	arpEnd               = arpTarget + 4
)

// translateARP makes the machine's questions and answers come from its address outside, and those
// for that address reach it. Its own address nobody finds.
func (t *translator) translateARP(frame []byte, outward bool) []byte {
	at, from, to := arpTarget, t.outside, t.inside
	if outward {
		at, from, to = arpSender, t.inside, t.outside
	}
	if len(frame) < arpEnd || !bytes.Equal(frame[at:at+4], from[:]) {
		return nil
	}
	copy(frame[at:], to[:])
	return frame
}

// out translates a packet of the machine. It returns false for one that does not pass.
func (t *translator) out(p ipv4) bool {
	at, sum := identifier(p, true)
	if at == 0 || !bytes.Equal(p[12:16], t.inside[:]) {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	inside := service{p.protocol(), binary.BigEndian.Uint16(p[at:])}
	port, ok := t.ports[inside]
	if !ok {
		port, t.next = t.next, max(t.next+1, firstOutside)
		t.ports[inside], t.back[service{inside.protocol, port}] = port, inside.port
	}
	t.allowed[t.flowOf(p, service{inside.protocol, port}, 16, at+2)] = true
	rewrite(p, 12, t.outside, at, port, sum)
	return true
}

// in translates a packet for the machine.
func (t *translator) in(p ipv4) bool {
	at, sum := identifier(p, false)
	if at == 0 || !bytes.Equal(p[16:20], t.outside[:]) {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	outside := service{p.protocol(), binary.BigEndian.Uint16(p[at:])}
	port, ok := t.back[outside]
	if !ok || !t.allowed[t.flowOf(p, outside, 12, at-2)] {
		return false
	}
	rewrite(p, 16, t.inside, at, port, sum)
	return true
}

// flowOf returns the flow of a packet whose peer's address and port are at these places.
func (t *translator) flowOf(p ipv4, outside service, address, port int) flow {
	f := flow{outside: outside, peer: [4]byte(p[address : address+4])}
	if outside.protocol != protoICMP {
		f.port = binary.BigEndian.Uint16(p[port:])
	}
	return f
}

// identifier returns where the packet holds the machine's port or its echo's identifier, and the
// checksum over it. It returns 0 for a packet without one.
func identifier(p ipv4, outward bool) (at, sum int) {
	h, n := p.header(), len(p.payload())
	switch {
	case p.protocol() == protoTCP && n >= 20:
		at, sum = h, h+16
	case p.protocol() == protoUDP && n >= 8:
		at, sum = h, h+6
	case p.protocol() == protoICMP && n >= 8 && (p[h] == 0 || p[h] == 8): // echo reply and request
		return h + 4, h + 2
	default:
		return 0, 0
	}
	if !outward {
		at += 2
	}
	return at, sum
}

// rewrite writes an address and a port into a packet, and amends its checksums. ICMP's does not
// cover the address (RFC 792).
func rewrite(p ipv4, addressAt int, address [4]byte, portAt int, port uint16, sumAt int) {
	before := slices.Concat(p[addressAt:addressAt+4], p[portAt:portAt+2])
	copy(p[addressAt:], address[:])
	binary.BigEndian.PutUint16(p[portAt:], port)
	after := slices.Concat(p[addressAt:addressAt+4], p[portAt:portAt+2])
	p.sum()
	if p.protocol() == protoICMP {
		before, after = before[4:], after[4:]
	}
	old := binary.BigEndian.Uint16(p[sumAt:])
	if p.protocol() == protoUDP && old == 0 { // the sender left it out (RFC 768)
		return
	}
	sum := amend(old, before, after)
	if p.protocol() == protoUDP && sum == 0 {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(p[sumAt:], sum)
}
