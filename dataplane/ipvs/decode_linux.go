package ipvs

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
)

// attributes calls take for each netlink attribute of b, as far as b is well-formed.
func attributes(b []byte, take func(kind uint16, value []byte)) {
	for len(b) >= unix.SizeofNlAttr {
		size := int(binary.NativeEndian.Uint16(b))
		if size < unix.SizeofNlAttr || size > len(b) {
			return
		}
		take(binary.NativeEndian.Uint16(b[2:])&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER), b[unix.SizeofNlAttr:size])
		b = b[min(align(size), len(b)):]
	}
}

// attribute of that kind, or nil.
func attribute(b []byte, wanted uint16) (found []byte) {
	attributes(b, func(kind uint16, value []byte) {
		if kind == wanted {
			found = value
		}
	})
	return found
}

// decodeService reads what is inside IPVS_CMD_ATTR_SERVICE. It is false for services by firewall
// mark, which have no address.
func decodeService(b []byte) (Key, Service, bool) {
	var key Key
	var service Service
	var family uint16
	var raw []byte
	var flags uint32
	var timeout time.Duration
	byMark := false
	attributes(b, func(kind uint16, value []byte) {
		switch kind {
		case svcFamily:
			family = uint16(number(value))
		case svcProtocol:
			key.Protocol = serviceport.Protocol(number(value))
		case svcAddress:
			raw = value
		case svcPort:
			key.Port = port(value)
		case svcMark:
			byMark = number(value) != 0
		case svcScheduler:
			name, _, _ := bytes.Cut(value, []byte{0})
			service.Scheduler = schedulerName(name)
		case svcFlags:
			flags = uint32(number(value[:min(4, len(value))]))
		case svcTimeout:
			timeout = time.Duration(number(value)) * time.Second
		}
	})
	var ok bool
	key.Address, ok = address(family, raw)
	service.Unmarked = flags&Mark == 0
	if flags&flagPersistent != 0 {
		service.Affinity = timeout
	}
	return key, service, ok && !byMark
}

// schedulerName allocates nothing for the names that nearly all services have.
func schedulerName(name []byte) string {
	switch string(name) {
	case "wrr":
		return "wrr"
	case "wlc":
		return "wlc"
	case "mh":
		return "mh"
	}
	return string(name)
}

// decodeDestination reads what is inside IPVS_CMD_ATTR_DEST.
func decodeDestination(b []byte) (Destination, bool) {
	var d Destination
	var family uint16
	var raw []byte
	attributes(b, func(kind uint16, value []byte) {
		switch kind {
		case destFamily:
			family = uint16(number(value))
		case destAddress:
			raw = value
		case destPort:
			d.Port = port(value)
		case destWeight:
			d.Weight = uint32(number(value))
		}
	})
	var ok bool
	d.Address, ok = address(family, raw)
	return d, ok
}

// number of 2 or 4 bytes in the kernel's order; zero for other lengths.
func number(b []byte) uint64 {
	switch len(b) {
	case 2:
		return uint64(binary.NativeEndian.Uint16(b))
	case 4:
		return uint64(binary.NativeEndian.Uint32(b))
	}
	return 0
}

func port(b []byte) uint16 {
	if len(b) < 2 {
		return 0
	}
	return binary.BigEndian.Uint16(b)
}

// address of the family, of which the kernel sends 16 bytes always; false if it is neither IPv4 nor
// IPv6.
func address(family uint16, raw []byte) (netip.Addr, bool) {
	switch {
	case family == unix.AF_INET && len(raw) >= 4:
		return netip.AddrFrom4([4]byte(raw[:4])), true
	case family == unix.AF_INET6 && len(raw) >= 16:
		return netip.AddrFrom16([16]byte(raw[:16])), true
	}
	return netip.Addr{}, false
}
