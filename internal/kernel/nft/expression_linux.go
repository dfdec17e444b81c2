package nft

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// Register is the first register of nf_tables; each has four bytes.
const Register = unix.NFT_REG32_00

// AppendExpression appends an expression of a rule; fill appends its attributes.
func AppendExpression(b []byte, name string, fill func([]byte) []byte) []byte {
	return AppendNest(b, unix.NFTA_LIST_ELEM, func(b []byte) []byte {
		return AppendNest(AppendText(b, unix.NFTA_EXPR_NAME, name), unix.NFTA_EXPR_DATA, fill)
	})
}

// AppendNumber appends an attribute that is a number of four bytes.
func AppendNumber(b []byte, kind uint16, n uint32) []byte {
	return AppendAttribute(b, kind, binary.BigEndian.AppendUint32(nil, n)...)
}

// AppendMeta appends the expression that loads what is known of a packet, such as
// NFT_META_IIFNAME.
func AppendMeta(b []byte, key, register uint32) []byte {
	return AppendExpression(b, "meta", func(b []byte) []byte {
		return AppendNumber(AppendNumber(b, unix.NFTA_META_KEY, key), unix.NFTA_META_DREG, register)
	})
}

// AppendPayload appends the expression that loads bytes of a packet, counted from a base such as
// NFT_PAYLOAD_NETWORK_HEADER.
func AppendPayload(b []byte, base, offset, size, register uint32) []byte {
	return AppendExpression(b, "payload", func(b []byte) []byte {
		b = AppendNumber(AppendNumber(b, unix.NFTA_PAYLOAD_DREG, register), unix.NFTA_PAYLOAD_BASE, base)
		return AppendNumber(AppendNumber(b, unix.NFTA_PAYLOAD_OFFSET, offset), unix.NFTA_PAYLOAD_LEN, size)
	})
}

// AppendEqual appends the expression that ends the rule unless the register begins with the value.
func AppendEqual(b []byte, register uint32, value ...byte) []byte {
	return AppendExpression(b, "cmp", func(b []byte) []byte {
		b = AppendNumber(AppendNumber(b, unix.NFTA_CMP_SREG, register), unix.NFTA_CMP_OP, unix.NFT_CMP_EQ)
		return AppendNest(b, unix.NFTA_CMP_DATA, func(b []byte) []byte { return AppendAttribute(b, unix.NFTA_DATA_VALUE, value...) })
	})
}

// AppendMask appends the expression that keeps the bits of the register that are in the mask.
func AppendMask(b []byte, register uint32, mask []byte) []byte {
	return AppendExpression(b, "bitwise", func(b []byte) []byte {
		b = AppendNumber(AppendNumber(b, unix.NFTA_BITWISE_SREG, register), unix.NFTA_BITWISE_DREG, register)
		b = AppendNumber(b, unix.NFTA_BITWISE_LEN, uint32(len(mask)))
		b = AppendNest(b, unix.NFTA_BITWISE_MASK, func(b []byte) []byte { return AppendAttribute(b, unix.NFTA_DATA_VALUE, mask...) })
		return AppendNest(b, unix.NFTA_BITWISE_XOR, func(b []byte) []byte {
			return AppendAttribute(b, unix.NFTA_DATA_VALUE, make([]byte, len(mask))...)
		})
	})
}

// AppendMatchUDP appends iptables' match of a destination port of UDP (struct xt_udp of
// linux/netfilter/xt_tcpudp.h, as long as the kernel aligns it). Its rule needs Protocol.
func AppendMatchUDP(b []byte, port uint16) []byte {
	return AppendExpression(b, "match", func(b []byte) []byte {
		b = AppendText(b, unix.NFTA_MATCH_NAME, "udp")
		b = AppendNumber(b, unix.NFTA_MATCH_REV, 0)
		info := make([]byte, 16)
		for i, bound := range []uint16{0, 0xffff, port, port} { // source ports from and to, destination ports from and to
			binary.NativeEndian.PutUint16(info[2*i:], bound)
		}
		return AppendAttribute(b, unix.NFTA_MATCH_INFO, info...)
	})
}

// AppendAccept appends a counter, which iptables expects in every rule, and the verdict to accept.
func AppendAccept(b []byte) []byte {
	b = AppendExpression(b, "counter", func(b []byte) []byte {
		b = AppendAttribute(b, unix.NFTA_COUNTER_BYTES, make([]byte, 8)...)
		return AppendAttribute(b, unix.NFTA_COUNTER_PACKETS, make([]byte, 8)...)
	})
	return AppendExpression(b, "immediate", func(b []byte) []byte {
		b = AppendNumber(b, unix.NFTA_IMMEDIATE_DREG, unix.NFT_REG_VERDICT)
		return AppendNest(b, unix.NFTA_IMMEDIATE_DATA, func(b []byte) []byte {
			return AppendNest(b, unix.NFTA_DATA_VERDICT, func(b []byte) []byte { return AppendNumber(b, unix.NFTA_VERDICT_CODE, acceptVerdict) })
		})
	})
}

// acceptVerdict is NF_ACCEPT of linux/netfilter.h.
const acceptVerdict = 1
