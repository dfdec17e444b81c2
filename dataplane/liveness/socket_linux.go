package liveness

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Target is where a gateway is asked.
type Target struct {
	// Gateway is its name.
	Gateway string
	// Source is the address that the question comes from. It need not be there yet.
	Source netip.Addr
	// Address is the port that refuses.
	Address netip.AddrPort
}

// question is a socket that asks again and again. It belongs to the network namespace of the thread
// that made it.
type question struct {
	fd int
	// open is true while the answer is awaited.
	open bool
	// asked is when it was asked.
	asked time.Time
}

func newQuestion(source netip.Addr) (*question, error) {
	family := unix.AF_INET
	if source.Is6() {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("opening a socket: %w", err)
	}
	err = errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_FREEBIND, 1),
		unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1), // a port is taken when it asks
		withAddress(unix.SYS_BIND, fd, encoded(netip.AddrPortFrom(source, 0))),
	)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("binding a socket to %s: %w", source, err), unix.Close(fd))
	}
	return &question{fd: fd}, nil
}

// ask gives up the last question and sends a SYN. Giving up makes the socket as it was when it was
// new (tcp_disconnect in net/ipv4/tcp.c).
func (q *question) ask(to netip.AddrPort, now time.Time) error {
	q.open = false
	if err := connect(q.fd, nobody); err != nil {
		return fmt.Errorf("resetting a socket: %w", err)
	}
	if err := connect(q.fd, encoded(to)); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return fmt.Errorf("connecting to %s: %w", to, err)
	}
	q.open, q.asked = true, now
	return nil
}

// answer ends the question and reports whether the gateway has answered.
func (q *question) answer() bool {
	q.open = false
	result, size := int32(-1), uint32(unsafe.Sizeof(int32(0)))
	_, _, errno := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(q.fd), unix.SOL_SOCKET, unix.SO_ERROR,
		uintptr(unsafe.Pointer(&result)), uintptr(unsafe.Pointer(&size)), 0)
	if result == 0 {
		_ = connect(q.fd, nobody) // somebody listens; the next question does it again, and says what failed
	}
	return errno == 0 && (result == 0 || unix.Errno(result) == unix.ECONNREFUSED)
}

func (q *question) close() { _ = unix.Close(q.fd) } // nothing is to be done about it

// answered reports of each of these open questions whether its answer is there.
func answered(open []*question) []bool {
	has := make([]bool, len(open))
	if len(open) == 0 {
		return has
	}
	fds := make([]unix.PollFd, len(open))
	for i, q := range open {
		fds[i] = unix.PollFd{Fd: int32(q.fd), Events: unix.POLLOUT}
	}
	var wait unix.Timespec // none
	_, _, errno := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&fds[0])), uintptr(len(fds)), uintptr(unsafe.Pointer(&wait)), 0, 0, 0)
	for i, fd := range fds {
		has[i] = errno == 0 && fd.Revents != 0
	}
	return has
}

// nobody is an address of no family, which is all that the kernel looks at: connecting to it ends what
// the socket does.
var nobody = make([]byte, unix.SizeofSockaddrInet4)

// connect is connect(2) of a socket that does not block.
func connect(fd int, to []byte) error { return withAddress(unix.SYS_CONNECT, fd, to) }

// withAddress is a system call with a socket and an address. Go's scheduler is not told of this and the
// other raw calls. None blocks, and what the scheduler does around a call takes longer than they do.
func withAddress(call uintptr, fd int, address []byte) error {
	if _, _, errno := unix.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(&address[0])), uintptr(len(address))); errno != 0 {
		return errno
	}
	return nil
}

// encoded is the address as struct sockaddr_in or sockaddr_in6.
func encoded(a netip.AddrPort) []byte {
	family := uint16(unix.AF_INET)
	if a.Addr().Is6() {
		family = unix.AF_INET6
	}
	b := binary.NativeEndian.AppendUint16(nil, family)
	b = binary.BigEndian.AppendUint16(b, a.Port())
	if a.Addr().Is4() {
		return append(append(b, a.Addr().AsSlice()...), make([]byte, unix.SizeofSockaddrInet4-8)...)
	}
	b = append(append(b, make([]byte, 4)...), a.Addr().AsSlice()...) // no flow label
	return append(b, make([]byte, 4)...)                             // no scope
}
