package nft

import (
	"encoding/binary"
	"net/netip"

	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
)

// AppendPort appends a port as it is in the kernel's registers, each part of which begins at four
// bytes.
func AppendPort(b []byte, port uint16) []byte {
	return append(binary.BigEndian.AppendUint16(b, port), 0, 0)
}

// AppendService appends the key "address . protocol . port", the protocol by its IANA number.
func AppendService(b []byte, k serviceport.Key) []byte {
	return AppendPort(append(AppendAddress(b, k.Address), byte(k.Protocol), 0, 0, 0), k.Port)
}

// AppendAddress appends an address of four or 16 bytes.
func AppendAddress(b []byte, a netip.Addr) []byte {
	if a.Is4() {
		four := a.As4()
		return append(b, four[:]...)
	}
	sixteen := a.As16()
	return append(b, sixteen[:]...)
}
