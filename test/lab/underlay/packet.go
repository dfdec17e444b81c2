package underlay

import (
	"encoding/binary"
	"slices"
)

// Of Ethernet and IP, as far as faults look into packets.
const (
	typeIPv4, typeARP, typeIPv6          = 0x0800, 0x0806, 0x86dd
	protoICMP, protoTCP, protoUDP        = 1, 6, 17
	protoSCTP                            = 132
	ipv6Header                           = 40
	dontFragment, moreFragments   uint16 = 0x4000, 0x2000
	offsetMask                    uint16 = 0x1fff
)

func typeOf(frame []byte) uint16 { return binary.BigEndian.Uint16(frame[12:]) }

// ipv4 is an IPv4 packet: a whole header, then what the header says follows.
type ipv4 []byte

// asIPv4 returns the IPv4 packet in a frame, without the padding behind it. It returns nil if there
// is none.
func asIPv4(frame []byte) ipv4 {
	if typeOf(frame) != typeIPv4 || len(frame) < headerSize+20 {
		return nil
	}
	p := ipv4(frame[headerSize:])
	size := int(binary.BigEndian.Uint16(p[2:]))
	if p[0]>>4 != 4 || p.header() < 20 || size < p.header() || size > len(p) {
		return nil
	}
	return p[:size]
}

// header returns the size of the header in bytes.
func (p ipv4) header() int { return int(p[0]&0xf) * 4 }

// flags returns the flags and the fragment's offset in units of 8 bytes, in one word.
func (p ipv4) flags() uint16 { return binary.BigEndian.Uint16(p[6:]) }

func (p ipv4) protocol() byte { return p[9] }

// payload returns what follows the header.
func (p ipv4) payload() []byte { return p[p.header():] }

// sum writes the header's checksum.
func (p ipv4) sum() {
	p[10], p[11] = 0, 0
	binary.BigEndian.PutUint16(p[10:], checksum(p[:p.header()]))
}

// ports returns the ports of a frame's packet, and false if it shows none: it is neither TCP nor UDP
// nor SCTP, or a fragment after the first.
func ports(frame []byte) (source, destination uint16, ok bool) {
	var protocol byte
	var payload []byte
	if p := asIPv4(frame); p != nil && p.flags()&offsetMask == 0 {
		protocol, payload = p.protocol(), p.payload()
	} else if typeOf(frame) == typeIPv6 && len(frame) > headerSize+ipv6Header {
		protocol, payload = frame[headerSize+6], frame[headerSize+ipv6Header:]
	}
	if !slices.Contains([]byte{protoTCP, protoUDP, protoSCTP}, protocol) || len(payload) < 4 {
		return 0, 0, false
	}
	return binary.BigEndian.Uint16(payload), binary.BigEndian.Uint16(payload[2:]), true
}

// checksum returns the Internet checksum of data (RFC 1071).
func checksum(data []byte) uint16 {
	var sum uint32
	for ; len(data) > 1; data = data[2:] {
		sum += uint32(data[0])<<8 | uint32(data[1])
	}
	if len(data) > 0 {
		sum += uint32(data[0]) << 8
	}
	return ^fold(sum)
}

// amend returns the checksum that sum becomes when some of what it covers changes from before to
// after, both of the same even length (RFC 1624).
func amend(sum uint16, before, after []byte) uint16 {
	total := uint32(^sum)
	for i := 0; i+1 < len(before); i += 2 {
		total += uint32(^binary.BigEndian.Uint16(before[i:])) + uint32(binary.BigEndian.Uint16(after[i:]))
	}
	return ^fold(total)
}

func fold(sum uint32) uint16 {
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}
