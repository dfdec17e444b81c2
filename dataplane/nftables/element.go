package nftables

import (
	"encoding/binary"
	"iter"
	"net/netip"

	"github.com/tombolo-net/tombolo/internal/kernel/nft"
	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
)

// element is one element of a map as the kernel has it.
type element struct {
	set string
	key []byte
	// value is an endpoint; if it is empty, chain is a verdict.
	value []byte
	chain string
}

const (
	// largestPart is the longest key, that of a slot of IPv6.
	largestPart = 16 + 4 + 4 + 4
	// piece is how much memory is allocated at once for keys and values.
	piece = 1024
)

// elements are what has to be written for the change: those that go, then those that come.
func (s ServiceChange) elements() iter.Seq2[bool, element] {
	return func(yield func(bool, element) bool) {
		suffix := familyOf(s.Key.Address).suffix
		slots := "slots" + suffix
		var bytes []byte // many keys and values share a piece of memory
		part := func(fill func([]byte) []byte) []byte {
			if cap(bytes)-len(bytes) < largestPart {
				bytes = make([]byte, 0, piece)
			}
			begin := len(bytes)
			bytes = fill(bytes)
			return bytes[begin:len(bytes):len(bytes)]
		}
		key := func(b []byte) []byte { return appendKey(b, s.Key) }
		for _, add := range []bool{false, true} {
			from, to := s.Have, s.Want
			if add {
				from, to = s.Want, s.Have
			}
			for _, v := range [...]struct{ set, chain, other string }{
				{"services", from.Chain, to.Chain}, {"sticky", from.Sticky, to.Sticky}, {"remember", from.Remember, to.Remember},
			} {
				if v.chain != "" && v.chain != v.other && !yield(add, element{set: v.set + suffix, key: part(key), chain: v.chain}) {
					return
				}
			}
			for i, endpoint := range from.Slots {
				if !endpoint.IsValid() || i < len(to.Slots) && to.Slots[i] == endpoint {
					continue
				}
				e := element{set: slots, key: part(func(b []byte) []byte { return appendSlot(key(b), i) }),
					value: part(func(b []byte) []byte { return appendEndpoint(b, endpoint) })}
				if !yield(add, e) {
					return
				}
			}
		}
	}
}

// element of the client in the map of affinities, without its value.
func (c Client) element() element {
	key := appendKey(c.Address.AsSlice(), c.Key)
	return element{set: "affinity" + familyOf(c.Key.Address).suffix, key: key}
}

// appendKey appends a key as the packets' fields are in the kernel's registers.
func appendKey(b []byte, k Key) []byte {
	return nft.AppendService(b, k)
}

// appendSlot appends a number of numgen and jhash, which are in the order of the machine.
func appendSlot(b []byte, slot int) []byte { return binary.NativeEndian.AppendUint32(b, uint32(slot)) }

// slotOf is the slot at the end of a key.
func slotOf(key []byte) int { return int(binary.NativeEndian.Uint32(key[len(key)-4:])) }

func appendEndpoint(b []byte, endpoint netip.AddrPort) []byte {
	return nft.AppendPort(nft.AppendAddress(b, endpoint.Addr()), endpoint.Port())
}

// parseAddress reads an address of the family from the front.
func parseAddress(b []byte, f family) (netip.Addr, []byte, bool) {
	size := int(f.addressType.size)
	if len(b) < size {
		return netip.Addr{}, nil, false
	}
	a, ok := netip.AddrFromSlice(b[:size])
	return a, b[size:], ok
}

// parseKey reads a key from the front. It returns false for what cannot be the key of a service.
func parseKey(b []byte, f family) (Key, []byte, bool) {
	address, b, ok := parseAddress(b, f)
	if !ok || len(b) < 8 {
		return Key{}, nil, false
	}
	key := Key{Address: address, Protocol: serviceport.Protocol(b[0]), Port: binary.BigEndian.Uint16(b[4:])}
	return key, b[8:], key.Protocol.Known()
}

func parseEndpoint(b []byte, f family) (netip.AddrPort, bool) {
	address, b, ok := parseAddress(b, f)
	if !ok || len(b) < 2 {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(address, binary.BigEndian.Uint16(b)), true
}
