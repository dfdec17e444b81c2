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

// magic begins every packet: a name and a version.
const magic = "TMB1"

// kind distinguishes the two packets.
type kind byte

const (
	request kind = 1
	reply   kind = 2
)

// packetSize is the length of every packet: magic, kind, session, sequence, HMAC-SHA256 over all
// before it.
const packetSize = len(magic) + 1 + 8 + 8 + sha256.Size

// packet is what both ends exchange. A reply repeats session and sequence of its request.
type packet struct {
	kind kind
	// session is random for each run of a prober, so that replies to an earlier run do not pass for
	// its own.
	session  uint64
	sequence uint64
}

// errPacket: the packet is not a probe, or is not from the peer.
var errPacket = errors.New("not a probe of the peer")

// linkKey is the key that both ends of a link derive: HMAC-SHA256, keyed with the X25519 secret of
// their WireGuard keys.
func linkKey(private, peerPublic [32]byte) ([]byte, error) {
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
	mac.Write([]byte("tombolo probe " + magic))
	return mac.Sum(nil), nil
}

// encode is the packet on the wire, authenticated with key.
func (p packet) encode(key []byte) []byte {
	b := make([]byte, 0, packetSize)
	b = append(b, magic...)
	b = append(b, byte(p.kind))
	b = binary.BigEndian.AppendUint64(b, p.session)
	b = binary.BigEndian.AppendUint64(b, p.sequence)
	return append(b, sum(key, b)...)
}

// decode reads a packet that was authenticated with key; the error is errPacket.
func decode(b, key []byte) (packet, error) {
	const body = packetSize - sha256.Size
	if len(b) != packetSize || string(b[:len(magic)]) != magic || !hmac.Equal(b[body:], sum(key, b[:body])) {
		return packet{}, errPacket
	}
	p := packet{
		kind:     kind(b[len(magic)]),
		session:  binary.BigEndian.Uint64(b[len(magic)+1:]),
		sequence: binary.BigEndian.Uint64(b[len(magic)+9:]),
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
