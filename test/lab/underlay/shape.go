package underlay

import (
	"encoding/binary"
	"slices"
)

// shape is what faults do to a link's packets, once they look into them. It is never changed.
type shape struct {
	cut []PortRange // ports whose packets are dropped

	mtu    int  // bytes; 0 for any
	silent bool // what is too large is dropped without a word

	nat     *translator // nil for none
	outward bool        // the link leads out of it, not into it
}

// change sets the link's shape to what f makes of it.
func (l *link) change(f func(*shape)) {
	l.changing.Lock()
	defer l.changing.Unlock()
	next := shape{}
	if now := l.shape.Load(); now != nil {
		next = *now
	}
	f(&next)
	l.shape.Store(&next)
}

// cuts says whether a frame is dropped for its ports.
func (s *shape) cuts(frame []byte) bool {
	if s == nil || len(s.cut) == 0 {
		return false
	}
	source, destination, ok := ports(frame)
	return ok && slices.ContainsFunc(s.cut, func(r PortRange) bool { return r.contains(source) || r.contains(destination) })
}

// pass returns what comes out of the link for a frame that gets onto it: itself, others in its
// place, or none.
func (s *shape) pass(l *link, frame []byte) [][]byte {
	if s != nil && s.nat != nil {
		if frame = s.nat.translate(frame, s.outward); frame == nil {
			l.dropCut.Add(1)
			return nil
		}
	}
	if s == nil || s.mtu == 0 || len(frame)-headerSize <= s.mtu {
		return [][]byte{frame}
	}
	return s.squeeze(l, frame)
}

// squeeze does what a router does to a packet that is larger than the MTU.
func (s *shape) squeeze(l *link, frame []byte) [][]byte {
	p := asIPv4(frame)
	switch {
	case p == nil && typeOf(frame) != typeIPv4 && typeOf(frame) != typeIPv6:
		return [][]byte{frame}
	case p != nil && len(p) <= s.mtu: // the rest is padding
		return [][]byte{frame}
	case p != nil && p.flags()&dontFragment == 0:
		return fragments(frame, p, s.mtu)
	}
	l.dropCut.Add(1)
	if p != nil && !s.silent && !isError(p) {
		l.from.deliver(l.to.links[l.from.index], [][]byte{tooLarge(frame, p, s.mtu)})
	}
	return nil
}

// isError says whether the packet is ICMP but no echo: nobody is told of what becomes of an error.
func isError(p ipv4) bool {
	return p.protocol() == protoICMP && len(p.payload()) > 0 && p.payload()[0] != 0 && p.payload()[0] != 8
}

// fragments returns the packet's fragments, each in a frame of its own.
func fragments(frame []byte, p ipv4, mtu int) [][]byte {
	header, payload := p.header(), p.payload()
	size := (mtu - header) &^ 7 // offsets count 8 bytes
	var all [][]byte
	for at := 0; at < len(payload); at += size {
		part := payload[at:min(at+size, len(payload))]
		f := slices.Concat(frame[:headerSize+header], part)
		q := ipv4(f[headerSize:])
		binary.BigEndian.PutUint16(q[2:], uint16(len(q)))
		flags := p.flags() + uint16(at/8)
		if at+size < len(payload) {
			flags |= moreFragments
		}
		binary.BigEndian.PutUint16(q[6:], flags)
		q.sum()
		all = append(all, f)
	}
	return all
}

// quoted is how much of a packet an ICMP error holds: as much as fits 576 bytes (RFC 1812).
const quoted = 576 - 20 - 8

// tooLarge returns the ICMP error "fragmentation needed" (RFC 1191) for the sender of a packet, as
// if the receiver had sent it.
func tooLarge(frame []byte, p ipv4, mtu int) []byte {
	quote := p[:min(len(p), quoted)]
	f := slices.Concat(frame[6:12], frame[:6], frame[12:14], make([]byte, 28), quote)
	q := f[headerSize:]
	q[0], q[8], q[9] = 0x45, 64, protoICMP // version and header size, time to live, protocol
	binary.BigEndian.PutUint16(q[2:], uint16(len(q)))
	copy(q[12:16], p[16:20])
	copy(q[16:20], p[12:16])
	q.sum()
	message := q.payload()
	message[0], message[1] = 3, 4 // destination unreachable: fragmentation needed
	binary.BigEndian.PutUint16(message[6:], uint16(mtu))
	binary.BigEndian.PutUint16(message[2:], checksum(message))
	return f
}
