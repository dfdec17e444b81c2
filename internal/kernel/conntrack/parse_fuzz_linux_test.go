package conntrack

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink/nl"

	"github.com/tombolo-net/tombolo/internal/kernel/nft"
)

// attributesOf are those that the kernel tells of a flow.
func attributesOf(e entry) []byte {
	tuple := func(b []byte, kind uint16, source, destination netip.Addr, portKind, port uint16) []byte {
		from, to := uint16(nl.CTA_IP_V6_SRC), uint16(nl.CTA_IP_V6_DST)
		if source.Is4() {
			from, to = nl.CTA_IP_V4_SRC, nl.CTA_IP_V4_DST
		}
		return nft.AppendNest(b, kind, func(b []byte) []byte {
			b = nft.AppendNest(b, nl.CTA_TUPLE_IP, func(b []byte) []byte {
				return nft.AppendAttribute(nft.AppendAttribute(b, from, source.AsSlice()...), to, destination.AsSlice()...)
			})
			return nft.AppendNest(b, nl.CTA_TUPLE_PROTO, func(b []byte) []byte {
				b = nft.AppendAttribute(b, nl.CTA_PROTO_NUM, uint8(e.flow.Protocol))
				return nft.AppendAttribute(b, portKind, binary.BigEndian.AppendUint16(nil, port)...)
			})
		})
	}
	b := tuple(nil, nl.CTA_TUPLE_ORIG, e.client, e.flow.Address, nl.CTA_PROTO_DST_PORT, e.flow.Port)
	b = tuple(b, nl.CTA_TUPLE_REPLY, e.flow.Endpoint.Addr(), e.source, nl.CTA_PROTO_SRC_PORT, e.flow.Endpoint.Port())
	status := uint32(8)
	if e.answered {
		status |= seenReply
	}
	return nft.AppendAttribute(b, nl.CTA_STATUS, binary.BigEndian.AppendUint32(nil, status)...)
}

// FuzzParse: whatever the kernel tells, it is read without a panic, and what is whole is read as it
// is.
func FuzzParse(f *testing.F) {
	whole := []entry{
		{flow("244.0.0.1:53", "10.1.0.5:5353"), netip.MustParseAddr("10.2.0.5"), netip.MustParseAddr("192.0.2.1"), true},
		{flow("[fd77::1]:53", "[fd01::5]:5353"), netip.MustParseAddr("fd02::5"), netip.MustParseAddr("2001:db8::1"), false},
	}
	for _, e := range whole {
		b := attributesOf(e)
		if got, ok := parse(b); !ok || got != e {
			f.Errorf("%v is read as %v, %t", e, got, ok)
		}
		f.Add(b)
		f.Add(b[:len(b)/2])
	}
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, ok := parse(b); ok && (!e.flow.Address.IsValid() || !e.flow.Endpoint.IsValid()) {
			t.Errorf("%v", e)
		}
	})
}
