package nftables

import (
	"encoding/binary"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tombolo-net/tombolo/dataplane/internal/nft"
)

// byNetlink tells whether the rules of that chain are written by netlink: nft 1.0.6 ends with "Assertion `dreg <
// ctx->reg_low' failed" on an update of a map whose key has an IPv6 address and more. It lists such a rule as it should.
func byNetlink(chain string) bool { return strings.HasPrefix(chain, rememberChain+"6-") }

// writeRules replaces the rules of those of the chains that are written by netlink. The chains are there.
func (t *Table) writeRules(chains []string) error {
	batch := nft.NewBatch(TableName)
	for _, name := range chains {
		if !byNetlink(name) {
			continue
		}
		var seconds uint64
		if _, err := fmt.Sscanf(name, rememberChain+"6-%d", &seconds); err != nil {
			return fmt.Errorf("reading the name of chain %s: %w", name, err)
		}
		batch.Flush(name)
		for i, rule := range updateRules(families[1], int(seconds)) {
			batch.Rule(name, comment(rule), func(b []byte) []byte { return appendUpdate(b, protocols[i].number, seconds) })
		}
	}
	if batch.Size() == 0 {
		return nil
	}
	t.transactions++
	if err := batch.Commit(); err != nil {
		return fmt.Errorf("writing rules of table %s: %w", TableName, explain(err))
	}
	return nil
}

// Registers of nf_tables, of four bytes each; register holds the first.
const register = unix.NFT_REG32_00

// appendUpdate appends the expressions of a rule of updateRules for IPv6, just as nft would.
func appendUpdate(b []byte, protocol byte, seconds uint64) []byte {
	const key, data = register, register + 10 // 16 + 16 + 4 + 4 bytes, and 16 + 4
	b = appendMeta(b, unix.NFT_META_L4PROTO, key)
	b = appendEqual(b, key, protocol)
	b = appendMeta(b, unix.NFT_META_NFPROTO, key)
	b = appendEqual(b, key, unix.NFPROTO_IPV6)
	b = appendPayload(b, unix.NFT_PAYLOAD_NETWORK_HEADER, 8, 16, key)
	b = appendOriginal(b, ctDestinationIP6, key+4)
	b = appendMeta(b, unix.NFT_META_L4PROTO, key+8)
	b = appendOriginal(b, unix.NFT_CT_PROTO_DST, key+9)
	b = appendPayload(b, unix.NFT_PAYLOAD_NETWORK_HEADER, 24, 16, data)
	b = appendPayload(b, unix.NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, data+4)
	return appendExpression(b, "dynset", func(b []byte) []byte {
		b = nft.AppendText(b, unix.NFTA_DYNSET_SET_NAME, "affinity6")
		b = appendNumber(b, unix.NFTA_DYNSET_OP, unix.NFT_DYNSET_OP_UPDATE)
		b = appendNumber(b, unix.NFTA_DYNSET_SREG_KEY, key)
		b = appendNumber(b, unix.NFTA_DYNSET_SREG_DATA, data)
		return nft.AppendAttribute(b, unix.NFTA_DYNSET_TIMEOUT, binary.BigEndian.AppendUint64(nil, seconds*1000)...)
	})
}

// ctDestinationIP6 is NFT_CT_DST_IP6.
const ctDestinationIP6 = 22

func appendExpression(b []byte, name string, fill func([]byte) []byte) []byte {
	return nft.AppendNest(b, unix.NFTA_LIST_ELEM, func(b []byte) []byte {
		return nft.AppendNest(nft.AppendText(b, unix.NFTA_EXPR_NAME, name), unix.NFTA_EXPR_DATA, fill)
	})
}

func appendNumber(b []byte, kind uint16, n uint32) []byte {
	return nft.AppendAttribute(b, kind, binary.BigEndian.AppendUint32(nil, n)...)
}

func appendMeta(b []byte, key, register uint32) []byte {
	return appendExpression(b, "meta", func(b []byte) []byte {
		return appendNumber(appendNumber(b, unix.NFTA_META_KEY, key), unix.NFTA_META_DREG, register)
	})
}

func appendEqual(b []byte, register uint32, value byte) []byte {
	return appendExpression(b, "cmp", func(b []byte) []byte {
		b = appendNumber(appendNumber(b, unix.NFTA_CMP_SREG, register), unix.NFTA_CMP_OP, unix.NFT_CMP_EQ)
		return nft.AppendNest(b, unix.NFTA_CMP_DATA, func(b []byte) []byte {
			return nft.AppendAttribute(b, unix.NFTA_DATA_VALUE, value)
		})
	})
}

func appendPayload(b []byte, base, offset, size, register uint32) []byte {
	return appendExpression(b, "payload", func(b []byte) []byte {
		b = appendNumber(appendNumber(b, unix.NFTA_PAYLOAD_DREG, register), unix.NFTA_PAYLOAD_BASE, base)
		return appendNumber(appendNumber(b, unix.NFTA_PAYLOAD_OFFSET, offset), unix.NFTA_PAYLOAD_LEN, size)
	})
}

// appendOriginal loads a field of the flow's first packet as it was sent (IP_CT_DIR_ORIGINAL is zero).
func appendOriginal(b []byte, key, register uint32) []byte {
	return appendExpression(b, "ct", func(b []byte) []byte {
		b = appendNumber(appendNumber(b, unix.NFTA_CT_DREG, register), unix.NFTA_CT_KEY, key)
		return nft.AppendAttribute(b, unix.NFTA_CT_DIRECTION, 0)
	})
}
