package probe

import (
	"crypto/ecdh"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

// Port is the UDP port of probes, on tunnel addresses.
const Port = 7472

// Magics begin every packet: a name and a version. Siblings are the gateways of one cluster.
const (
	magic        = "TMB1"
	siblingMagic = "TMS1"
)

// kind distinguishes the two packets.
type kind byte

const (
	request kind = 1
	reply   kind = 2
)

// flags are what an end says about itself. They are the upper 8 bits of the sequence number. The
// first version of the protocol knew no flags: it counted from 0, compared all 64 bits, and
// repeated in its reply the number of the request, whatever it was. So a request may carry flags to
// anyone, and a reply may carry flags only if the request did. A reply without fromReplier repeats
// the request's flags, which are our own.
type flags byte

const (
	// fromRequester: these are the flags of the end that asks.
	fromRequester flags = 1 << 7
	// fromReplier: these are the flags of the end that answers.
	fromReplier flags = 1 << 6
	// saysDown: this end judges, from its own probes, that the link is down.
	saysDown flags = 1 << 5
	// saysDraining: flows should leave this end.
	saysDraining flags = 1 << 4
)

// flagShift is where the flags are in the sequence number.
const flagShift = 56

// announcement is the sequence number of a request whose answer does not count.
const announcement = 1<<flagShift - 1

// Sizes of packets: magic, kind, session, sequence, HMAC-SHA256 over all before it. Before the HMAC
// of a sibling's packet is the set of clusters that it reaches.
const (
	packetSize  = len(magic) + 1 + 8 + 8 + sha256.Size
	siblingSize = packetSize + len(Members{})
)

// packet is what both ends exchange. A reply repeats session and sequence of its request.
type packet struct {
	kind kind
	// session is random for each run of a prober, so that replies to an earlier run do not pass for
	// its own.
	session uint64
	// sequence is less than 1 << flagShift.
	sequence uint64
	flags    flags
	// reached are the clusters that the sender reaches; only between siblings.
	reached *Members
}

// fromOther reports whether the flags are those of the end that sent the packet.
func (p packet) fromOther() bool {
	if p.kind == request {
		return p.flags&fromRequester != 0
	}
	return p.flags&fromReplier != 0
}

// errPacket: the packet is not a probe, or is not from the peer.
var errPacket = errors.New("not a probe of the peer")

// linkKey is the key that both ends of a link derive: HMAC-SHA256, keyed with the X25519 secret of
// their WireGuard keys.
func linkKey(private, peerPublic [32]byte, sibling bool) ([]byte, error) {
	own, err := ecdh.X25519().NewPrivateKey(private[:])
	if err != nil {
		return nil, fmt.Errorf("reading private key: %w", err)
	}
	peer, err := ecdh.X25519().NewPublicKey(peerPublic[:])
	if err != nil {
		return nil, fmt.Errorf("reading public key: %w", err)
	}
	secret, err := own.ECDH(peer)
	if err != nil {
		return nil, fmt.Errorf("agreeing on a secret: %w", err)
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("tombolo probe " + magicOf(sibling)))
	return mac.Sum(nil), nil
}

func magicOf(sibling bool) string {
	if sibling {
		return siblingMagic
	}
	return magic
}

// encode is the packet on the wire, authenticated with key. It is a sibling's packet if it says
// which clusters are reached.
func (p packet) encode(key []byte) []byte {
	b := make([]byte, 0, siblingSize)
	b = append(b, magicOf(p.reached != nil)...)
	b = append(b, byte(p.kind))
	b = binary.BigEndian.AppendUint64(b, p.session)
	b = binary.BigEndian.AppendUint64(b, uint64(p.flags)<<flagShift|p.sequence)
	if p.reached != nil {
		b = append(b, p.reached[:]...)
	}
	return append(b, sum(key, b)...)
}

// decode reads a packet of a link or of a sibling that was authenticated with key; the error is
// errPacket.
func decode(b, key []byte, sibling bool) (packet, error) {
	size := packetSize
	if sibling {
		size = siblingSize
	}
	body := size - sha256.Size
	if len(b) != size || string(b[:len(magic)]) != magicOf(sibling) || !hmac.Equal(b[body:], sum(key, b[:body])) {
		return packet{}, errPacket
	}
	const fixed = len(magic) + 1 + 8 + 8
	number := binary.BigEndian.Uint64(b[fixed-8:])
	p := packet{
		kind:    kind(b[len(magic)]),
		session: binary.BigEndian.Uint64(b[len(magic)+1:]), sequence: number & announcement, flags: flags(number >> flagShift),
	}
	if sibling {
		p.reached = new(Members(b[fixed:body]))
	}
	if p.kind != request && p.kind != reply {
		return packet{}, errPacket
	}
	return p, nil
}

func sum(key, b []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(b)
	return mac.Sum(nil)
}
