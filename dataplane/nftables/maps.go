package nftables

import (
	"fmt"
	"strings"
)

// datatype is a type of nftables: its name or an expression of it, the number that nft has for it
// (include/datatype.h of nftables), and its size in a key, where each part begins at a multiple of
// four bytes.
type datatype struct {
	name, expression string
	id, size         uint32
}

var (
	ipv4Address = datatype{"ipv4_addr", "ip daddr", 7, 4}
	ipv6Address = datatype{"ipv6_addr", "ip6 daddr", 8, 16}
	protocol    = datatype{"inet_proto", "meta l4proto", 12, 4}
	port        = datatype{"inet_service", "th dport", 13, 4}
	// slot has no name: nft wants an expression. nft 1.0.6 ends on a signal when it lists a map whose
	// expression has jhash; numgen is of the same type.
	slot = datatype{"", "numgen random mod 4096", 4, 4}
)

// verdictType is the kernel's number for a map of verdicts (NFT_DATA_VERDICT).
const verdictType = 0xffffff00

// The flags of sets and maps in the kernel (enum nft_set_flags).
const (
	flagMap     = 0x8
	flagTimeout = 0x10
	flagDynamic = 0x20
)

// MaxAffinities is how many clients' affinities are kept for each family at most. The kernel
// allocates memory for the table of their hashes at once, about 2 MB, and for each element when it
// is added. If all are taken, new clients have no affinity until old ones expire.
const MaxAffinities = 131072

// mapping is a map of the table.
type mapping struct {
	name    string
	key     []datatype
	value   []datatype // none: a verdict
	dynamic bool
	counter bool
}

// mappings of a table. Their names end with the family.
func mappings(counters bool) (all []mapping) {
	for _, f := range families {
		service := []datatype{f.addressType, protocol, port}
		endpoint := []datatype{f.addressType, port}
		all = append(all,
			mapping{name: "services" + f.suffix, key: service, counter: counters},
			mapping{name: "sticky" + f.suffix, key: service},
			mapping{name: "remember" + f.suffix, key: service},
			mapping{name: "slots" + f.suffix, key: append(service[:3:3], slot), value: endpoint},
			mapping{name: "affinity" + f.suffix, key: append([]datatype{f.addressType}, service...), value: endpoint, dynamic: true},
		)
	}
	return all
}

// declaration is the map's type in nft's language: by names, or by expressions if a type has no
// name.
func (m mapping) declaration() (text string, byExpression bool) {
	byExpression = m.name[:len(m.name)-1] == "slots"
	part := func(types []datatype) string {
		if len(types) == 0 {
			return "verdict"
		}
		var words []string
		for _, t := range types {
			if byExpression {
				words = append(words, t.expression)
			} else {
				words = append(words, t.name)
			}
		}
		return strings.Join(words, " . ")
	}
	return part(m.key) + " : " + part(m.value), byExpression
}

// shape is what the kernel tells of a map: enough to know one of an older version of this package.
type shape struct {
	keyType, keySize, valueType, valueSize, flags uint32
	// room is how many elements there may be; zero: no limit.
	room    uint32
	counter bool
}

func (m mapping) shape() shape {
	s := shape{flags: flagMap, counter: m.counter, valueType: verdictType}
	s.keyType, s.keySize = concatenation(m.key)
	if len(m.value) > 0 {
		s.valueType, s.valueSize = concatenation(m.value)
	}
	if m.dynamic {
		s.flags |= flagTimeout | flagDynamic
		s.room = MaxAffinities
	}
	return s
}

// concatenation is the number that nft has for a type of several parts, six bits for each.
func concatenation(types []datatype) (id, size uint32) {
	for _, t := range types {
		id, size = id<<6|t.id, size+t.size
	}
	return id, size
}

// String is for comparison and for messages.
func (s shape) String() string {
	return fmt.Sprintf("key %#x of %d bytes, value %#x of %d bytes, flags %#x, counter %t, room for %d",
		s.keyType, s.keySize, s.valueType, s.valueSize, s.flags, s.counter, s.room)
}
