package nftables

import (
	"encoding/binary"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tombolo-net/tombolo/internal/kernel/nft"
	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
)

// byNetlink reports whether the chain is written by netlink. Chains that draw a slot are, so that a
// service that needs another one changes without a run of nft. Besides, nft 1.0.6 does not take a
// rule with a map of slots that is in the kernel already ("conflicting protocols specified: ip vs.
// th"), and ends on an update of a map whose key has an IPv6 address and more ("Assertion `dreg <
// ctx->reg_low' failed"). It lists all of these rules as it should.
func byNetlink(name string) bool {
	_, _, _, draws := parseDraw(name)
	return draws || strings.HasPrefix(name, rememberChain+"6-")
}

// appendChain adds to the transaction that the chain be made, if it is not there, and its rules be
// just what they should.
func appendChain(batch *nft.Batch, name string) {
	batch.Chain(name)
	batch.Flush(name)
	c, _ := chainFor(name)
	for i, rule := range c.rules {
		batch.Rule(name, comment(rule), func(b []byte) []byte {
			if f, scheduler, n, ok := parseDraw(name); ok {
				if i > 0 {
					scheduler, n = Random, 1
				}
				return appendDraw(b, f, scheduler, n)
			}
			_, seconds := parseName(name)
			return appendUpdate(b, byte(serviceport.Protocols()[i]), uint64(seconds))
		})
	}
}

// register is the first one of nf_tables, of four bytes each.
const register = nft.Register

// appendUpdate appends the expressions of a rule of updateRules for IPv6, just as nft would.
func appendUpdate(b []byte, protocol byte, seconds uint64) []byte {
	const key, data = register, register + 10 // 16 + 16 + 4 + 4 bytes, and 16 + 4
	b = nft.AppendMeta(b, unix.NFT_META_L4PROTO, key)
	b = nft.AppendEqual(b, key, protocol)
	b = nft.AppendMeta(b, unix.NFT_META_NFPROTO, key)
	b = nft.AppendEqual(b, key, unix.NFPROTO_IPV6)
	b = nft.AppendPayload(b, unix.NFT_PAYLOAD_NETWORK_HEADER, 8, 16, key)
	b = appendOriginal(b, ctDestinationIP6, key+4)
	b = nft.AppendMeta(b, unix.NFT_META_L4PROTO, key+8)
	b = appendOriginal(b, unix.NFT_CT_PROTO_DST, key+9)
	b = nft.AppendPayload(b, unix.NFT_PAYLOAD_NETWORK_HEADER, 24, 16, data)
	b = nft.AppendPayload(b, unix.NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, data+4)
	return nft.AppendExpression(b, "dynset", func(b []byte) []byte {
		b = nft.AppendText(b, unix.NFTA_DYNSET_SET_NAME, "affinity6")
		b = nft.AppendNumber(b, unix.NFTA_DYNSET_OP, unix.NFT_DYNSET_OP_UPDATE)
		b = nft.AppendNumber(b, unix.NFTA_DYNSET_SREG_KEY, key)
		b = nft.AppendNumber(b, unix.NFTA_DYNSET_SREG_DATA, data)
		return nft.AppendAttribute(b, unix.NFTA_DYNSET_TIMEOUT, binary.BigEndian.AppendUint64(nil, seconds*1000)...)
	})
}

// appendDraw appends the expressions of a rule of drawRules, just as nft would.
func appendDraw(b []byte, f family, scheduler Scheduler, n int) []byte {
	source, destination, protocol := uint32(12), uint32(16), uint32(unix.NFPROTO_IPV4)
	if !f.is4 {
		source, destination, protocol = 8, 24, unix.NFPROTO_IPV6
	}
	size := f.addressType.size
	after := register + size/4 // where the address ends
	b = nft.AppendMeta(b, unix.NFT_META_NFPROTO, register)
	b = nft.AppendEqual(b, register, byte(protocol))
	b = nft.AppendPayload(b, unix.NFT_PAYLOAD_NETWORK_HEADER, destination, size, register)
	b = nft.AppendMeta(b, unix.NFT_META_L4PROTO, after)
	b = nft.AppendPayload(b, unix.NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, after+1)
	b = appendSlotNumber(b, scheduler, n, after+2, func(b []byte, register uint32) []byte {
		return nft.AppendPayload(b, unix.NFT_PAYLOAD_NETWORK_HEADER, source, size, register)
	}, size)
	b = nft.AppendExpression(b, "lookup", func(b []byte) []byte {
		b = nft.AppendText(b, unix.NFTA_LOOKUP_SET, "slots"+f.suffix)
		return nft.AppendNumber(nft.AppendNumber(b, unix.NFTA_LOOKUP_SREG, register), unix.NFTA_LOOKUP_DREG, register)
	})
	return nft.AppendExpression(b, "nat", func(b []byte) []byte {
		b = nft.AppendNumber(nft.AppendNumber(b, unix.NFTA_NAT_TYPE, unix.NFT_NAT_DNAT), unix.NFTA_NAT_FAMILY, protocol)
		return nft.AppendNumber(nft.AppendNumber(b, unix.NFTA_NAT_REG_ADDR_MIN, register), unix.NFTA_NAT_REG_PROTO_MIN, after)
	})
}

// appendSlotNumber appends the expressions that compute the slot; load appends what loads the
// client's address, of so many bytes.
func appendSlotNumber(b []byte, s Scheduler, n int, to uint32, load func([]byte, uint32) []byte, size uint32) []byte {
	if s == ConsistentHash {
		b = load(b, to+1)
		return nft.AppendExpression(b, "hash", func(b []byte) []byte {
			b = nft.AppendNumber(nft.AppendNumber(b, unix.NFTA_HASH_SREG, to+1), unix.NFTA_HASH_DREG, to)
			b = nft.AppendNumber(nft.AppendNumber(b, unix.NFTA_HASH_LEN, size), unix.NFTA_HASH_MODULUS, uint32(n))
			return nft.AppendNumber(nft.AppendNumber(b, unix.NFTA_HASH_SEED, hashSeed), unix.NFTA_HASH_TYPE, unix.NFT_HASH_JENKINS)
		})
	}
	kind := uint32(unix.NFT_NG_RANDOM)
	if s == RoundRobin {
		kind = unix.NFT_NG_INCREMENTAL
	}
	return nft.AppendExpression(b, "numgen", func(b []byte) []byte {
		b = nft.AppendNumber(nft.AppendNumber(b, unix.NFTA_NG_DREG, to), unix.NFTA_NG_MODULUS, uint32(n))
		return nft.AppendNumber(b, unix.NFTA_NG_TYPE, kind)
	})
}

// ctDestinationIP6 is NFT_CT_DST_IP6.
const ctDestinationIP6 = 22

// appendOriginal loads a field of the flow's first packet as it was sent (IP_CT_DIR_ORIGINAL is
// zero).
func appendOriginal(b []byte, key, register uint32) []byte {
	return nft.AppendExpression(b, "ct", func(b []byte) []byte {
		b = nft.AppendNumber(nft.AppendNumber(b, unix.NFTA_CT_DREG, register), unix.NFTA_CT_KEY, key)
		return nft.AppendAttribute(b, unix.NFTA_CT_DIRECTION, 0)
	})
}
