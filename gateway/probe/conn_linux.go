package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// udpConn is a Conn of the kernel.
type udpConn struct {
	*net.UDPConn
	raw syscall.RawConn
}

// Listen opens the socket for probes at this gateway's tunnel address, in the current network
// namespace. The address need not be on a device yet. It may come and go with the devices.
func Listen(ctx context.Context, addr netip.Addr) (Conn, error) {
	config := net.ListenConfig{Control: prepare}
	local := netip.AddrPortFrom(addr, Port)
	conn, err := config.ListenPacket(ctx, "udp4", local.String())
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", local, err)
	}
	udp := conn.(*net.UDPConn) // what ListenPacket promises for udp4
	raw, err := udp.SyscallConn()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listening on %s: %w", local, err), udp.Close())
	}
	return &udpConn{UDPConn: udp, raw: raw}, nil
}

// prepare makes the socket bind to an address that is not there yet, and keep the ICMP errors that
// come for it.
func prepare(_, _ string, c syscall.RawConn) error {
	var err error
	controlErr := c.Control(func(fd uintptr) {
		err = errors.Join(
			unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_FREEBIND, 1),
			unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_RECVERR, 1),
		)
	})
	return errors.Join(controlErr, err)
}

// WriteToUDPAddrPort sends the packet. A socket reports an ICMP error once, instead of sending, and
// the error may be about another peer. So the second attempt sends.
func (c *udpConn) WriteToUDPAddrPort(b []byte, addr netip.AddrPort) (int, error) {
	n, err := c.UDPConn.WriteToUDPAddrPort(b, addr)
	if err != nil && !errors.Is(err, net.ErrClosed) {
		n, err = c.UDPConn.WriteToUDPAddrPort(b, addr)
	}
	return n, err
}

// Refused implements Conn: it empties the socket's queue of errors.
func (c *udpConn) Refused() []netip.Addr {
	var refused []netip.Addr
	_ = c.raw.Control(func(fd uintptr) { // fails on a closed socket only, which has no errors to report
		control := make([]byte, unix.CmsgSpace(int(unsafe.Sizeof(unix.SockExtendedErr{}))+unix.SizeofSockaddrInet6))
		for {
			_, n, _, to, err := unix.Recvmsg(int(fd), nil, control, unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
			if err != nil {
				return
			}
			if peer, ok := to.(*unix.SockaddrInet4); ok && isRefusal(control[:n]) {
				refused = append(refused, netip.AddrFrom4(peer.Addr))
			}
		}
	})
	return refused
}

// Of an ICMP error, in the order of struct sock_extended_err in linux/errqueue.h: 4 bytes of errno,
// then origin, type and code.
const (
	originOffset  = 4
	originICMP    = 2
	typeOffset    = 5
	typeUnreach   = 3
	codeOffset    = 6
	codePort      = 3
	extendedBytes = 16
)

// isRefusal reports whether the control messages of an error say that the port is unreachable.
func isRefusal(control []byte) bool {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return false
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_IP && m.Header.Type == unix.IP_RECVERR && len(m.Data) >= extendedBytes &&
			m.Data[originOffset] == originICMP && m.Data[typeOffset] == typeUnreach && m.Data[codeOffset] == codePort {
			return true
		}
	}
	return false
}
