package nft

import (
	"encoding/binary"
	"iter"

	"golang.org/x/sys/unix"
)

// typeMask leaves an attribute's kind without its flags, as NLA_TYPE_MASK of
// include/uapi/linux/netlink.h.
const typeMask = ^uint16(unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)

// Attributes are the netlink attributes in b, by their kind without its flags. What is cut short is
// left out.
func Attributes(b []byte) iter.Seq2[uint16, []byte] {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= unix.SizeofNlAttr {
			size := int(binary.NativeEndian.Uint16(b))
			if size < unix.SizeofNlAttr || size > len(b) {
				return
			}
			kind := binary.NativeEndian.Uint16(b[2:]) & typeMask
			if !yield(kind, b[unix.SizeofNlAttr:size]) {
				return
			}
			b = b[min(align(size), len(b)):]
		}
	}
}

// Attribute is the value of the first attribute of the last kind, below the kinds that lead to it.
// It is nil if there is no such attribute.
func Attribute(b []byte, path ...uint16) []byte {
	for _, kind := range path {
		var found []byte
		for k, value := range Attributes(b) {
			if k == kind {
				found = value
				break
			}
		}
		if found == nil {
			return nil
		}
		b = found
	}
	return b
}

// Text is a string attribute's value without the zero byte at its end.
func Text(value []byte) string {
	if n := len(value); n > 0 && value[n-1] == 0 {
		value = value[:n-1]
	}
	return string(value)
}

// AppendAttribute appends an attribute.
func AppendAttribute(b []byte, kind uint16, value ...byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(unix.SizeofNlAttr+len(value)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(b, value...)
	return append(b, make([]byte, align(len(value))-len(value))...)
}

// AppendText appends a string attribute.
func AppendText(b []byte, kind uint16, text string) []byte {
	return AppendAttribute(b, kind, append([]byte(text), 0)...)
}

// AppendNest appends an attribute that holds what fill appends.
func AppendNest(b []byte, kind uint16, fill func([]byte) []byte) []byte {
	start := len(b)
	b = fill(append(b, 0, 0, 0, 0))
	binary.NativeEndian.PutUint16(b[start:], uint16(len(b)-start))
	binary.NativeEndian.PutUint16(b[start+2:], kind|unix.NLA_F_NESTED)
	return b
}

func align(n int) int { return (n + unix.NLA_ALIGNTO - 1) &^ (unix.NLA_ALIGNTO - 1) }
