package nft

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// AppendPort appends a port as it is in the kernel's registers, each part of which begins at four bytes.
func AppendPort(b []byte, port uint16) []byte {
	return append(binary.BigEndian.AppendUint16(b, port), 0, 0)
}

// AppendService appends the key "address . protocol . port", the protocol by its IANA number.
func AppendService(b []byte, address netip.Addr, protocol byte, port uint16) []byte {
	return AppendPort(append(append(b, address.AsSlice()...), protocol, 0, 0, 0), port)
}

// AppendElementKey appends the attribute that is the key of an element.
func AppendElementKey(b, key []byte) []byte {
	return AppendNest(b, unix.NFTA_SET_ELEM_KEY, func(b []byte) []byte {
		return AppendAttribute(b, unix.NFTA_DATA_VALUE, key...)
	})
}
