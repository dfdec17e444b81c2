package ipvs

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Commands, attributes and flags of the generic netlink family, from include/uapi/linux/ip_vs.h.
const (
	genlVersion = 1

	cmdNewService = 1
	cmdSetService = 2
	cmdDelService = 3
	cmdGetService = 4
	cmdNewDest    = 5
	cmdSetDest    = 6
	cmdDelDest    = 7
	cmdGetDest    = 8

	attrService = 1
	attrDest    = 2

	svcFamily    = 1
	svcProtocol  = 2
	svcAddress   = 3
	svcPort      = 4
	svcMark      = 5
	svcScheduler = 6
	svcFlags     = 7
	svcTimeout   = 8
	svcNetmask   = 9

	destAddress = 1
	destPort    = 2
	destForward = 3
	destWeight  = 4
	destUpper   = 5
	destLower   = 6
	destFamily  = 11

	flagPersistent = 0x0001
	forwardNAT     = 0
)

// Mark is the flag that the virtual services of this package carry in the kernel,
// IP_VS_SVC_F_SCHED3: the third of three flags that schedulers may give a meaning, which none does.
// ipvsadm shows it as "flag-3". It outlives the process, so that a service that is no longer wanted
// is known as ours after a restart.
const Mark = 0x0020

// flagFallback is IP_VS_SVC_F_SCHED_MH_FALLBACK: without it, mh refuses the clients of an endpoint
// that drains.
const flagFallback = 0x0008

// flagsOf are what a service of that scheduler carries.
func flagsOf(scheduler string) uint32 {
	if scheduler == "mh" {
		return Mark | flagFallback
	}
	return Mark
}

var commands = [...]uint8{
	AddService: cmdNewService, SetService: cmdSetService, DeleteService: cmdDelService,
	AddDestination: cmdNewDest, SetDestination: cmdSetDest, DeleteDestination: cmdDelDest,
}

// appendRequest appends one netlink message.
func appendRequest(b []byte, family, flags uint16, seq uint32, op Operation) []byte {
	start := len(b)
	b = binary.NativeEndian.AppendUint32(b, 0) // the length, filled in below
	b = binary.NativeEndian.AppendUint16(b, family)
	b = binary.NativeEndian.AppendUint16(b, flags)
	b = binary.NativeEndian.AppendUint32(b, seq)
	b = binary.NativeEndian.AppendUint32(b, 0) // the kernel fills in who we are
	b = append(b, commands[op.Verb], genlVersion, 0, 0)
	b = appendServiceAttr(b, op)
	if op.Verb >= AddDestination {
		b = appendDestAttr(b, op.Destination)
	}
	binary.NativeEndian.PutUint32(b[start:], uint32(len(b)-start))
	return b
}

func appendServiceAttr(b []byte, op Operation) []byte {
	start := len(b)
	b = append(b, 0, 0, 0, 0)
	b = appendUint16(b, svcFamily, addressFamily(op.Key.Address))
	b = appendUint16(b, svcProtocol, uint16(op.Key.Protocol))
	b = appendAttr(b, svcAddress, op.Key.Address.AsSlice())
	b = appendAttr(b, svcPort, binary.BigEndian.AppendUint16(nil, op.Key.Port))
	if op.Verb == AddService || op.Verb == SetService {
		b = appendAttr(b, svcScheduler, append([]byte(op.Service.Scheduler), 0))
		flags, timeout := flagsOf(op.Service.Scheduler), uint32(0)
		if op.Service.Affinity > 0 {
			flags, timeout = flags|flagPersistent, uint32(op.Service.Affinity.Seconds())
		}
		set := binary.NativeEndian.AppendUint32(nil, flags)
		b = appendAttr(b, svcFlags, binary.NativeEndian.AppendUint32(set, ^uint32(0)))
		b = appendUint32(b, svcTimeout, timeout)
		b = appendUint32(b, svcNetmask, hostMask(op.Key.Address))
	}
	return closeNest(b, start, attrService)
}

func appendDestAttr(b []byte, d Destination) []byte {
	start := len(b)
	b = append(b, 0, 0, 0, 0)
	b = appendUint16(b, destFamily, addressFamily(d.Address))
	b = appendAttr(b, destAddress, d.Address.AsSlice())
	b = appendAttr(b, destPort, binary.BigEndian.AppendUint16(nil, d.Port))
	b = appendUint32(b, destForward, forwardNAT)
	b = appendUint32(b, destWeight, d.Weight)
	b = appendUint32(b, destUpper, 0)
	b = appendUint32(b, destLower, 0)
	return closeNest(b, start, attrDest)
}

func appendAttr(b []byte, kind uint16, value []byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(unix.SizeofNlAttr+len(value)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(b, value...)
	return append(b, make([]byte, align(len(value))-len(value))...)
}

func appendUint16(b []byte, kind, value uint16) []byte {
	return appendAttr(b, kind, binary.NativeEndian.AppendUint16(nil, value))
}

func appendUint32(b []byte, kind uint16, value uint32) []byte {
	return appendAttr(b, kind, binary.NativeEndian.AppendUint32(nil, value))
}

func closeNest(b []byte, start int, kind uint16) []byte {
	binary.NativeEndian.PutUint16(b[start:], uint16(len(b)-start))
	binary.NativeEndian.PutUint16(b[start+2:], kind|unix.NLA_F_NESTED)
	return b
}

func addressFamily(a netip.Addr) uint16 {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// hostMask is the netmask that affinity groups clients by: each on its own. IPv6 counts bits.
func hostMask(a netip.Addr) uint32 {
	if a.Is4() {
		return ^uint32(0)
	}
	return uint32(a.BitLen())
}
