package liveness

import (
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
		unix.Bind(fd, sockaddr(netip.AddrPortFrom(source, 0))),
	)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("binding a socket to %s: %w", source, err), unix.Close(fd))
	}
	return &question{fd: fd}, nil
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
	}
	return &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port())}
}

// ask gives up the last question and sends a SYN. Giving up makes the socket as it was when it was
// new (tcp_disconnect in net/ipv4/tcp.c).
func (q *question) ask(to netip.AddrPort, now time.Time) error {
	q.open = false
	if err := disconnect(q.fd); err != nil {
		return err
	}
	err := unix.Connect(q.fd, sockaddr(to))
	if err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return fmt.Errorf("connecting to %s: %w", to, err)
	}
	q.open, q.asked = true, now
	return nil
}

// answer ends the question and reports whether the gateway has answered.
func (q *question) answer() bool {
	q.open = false
	result, err := unix.GetsockoptInt(q.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	_ = disconnect(q.fd) // the next question does it again, and says what failed
	return err == nil && (result == 0 || unix.Errno(result) == unix.ECONNREFUSED)
}

func (q *question) close() { _ = unix.Close(q.fd) } // nothing is to be done about it

// disconnect ends what the socket does. The address family is all that the kernel looks at.
func disconnect(fd int) error {
	address := unix.RawSockaddr{Family: unix.AF_UNSPEC}
	if _, _, errno := unix.Syscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&address)), unsafe.Sizeof(address)); errno != 0 {
		return fmt.Errorf("resetting a socket: %w", errno)
	}
	return nil
}
