package main

import (
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// streamBuffer is room for what arrives while this process does not get the CPU for some seconds,
// in bytes. A packet of a stream takes less than 1,000 of them.
const streamBuffer = 8 << 20

// newPacketSocket returns a socket for packets that never waits. With CAP_NET_ADMIN it has room for
// a long pause of this process; otherwise what does not fit counts as lost on the way.
func newPacketSocket(to netip.Addr) (int, error) {
	fd, err := newSocket(to, unix.SOCK_DGRAM)
	if err != nil {
		return -1, err
	}
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, streamBuffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, streamBuffer) // cut to rmem_max
	}
	return fd, nil
}

// newSocket returns a socket that never waits.
func newSocket(to netip.Addr, kind int) (int, error) {
	domain := unix.AF_INET
	if to.Is6() {
		domain = unix.AF_INET6
	}
	fd, err := unix.Socket(domain, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	return fd, os.NewSyscallError("socket", err)
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Addr: a.Addr().As4(), Port: int(a.Port())}
	}
	return &unix.SockaddrInet6{Addr: a.Addr().As16(), Port: int(a.Port())}
}

// addrPort is the other way round.
func addrPort(a unix.Sockaddr) netip.AddrPort {
	switch a := a.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr), uint16(a.Port))
	}
	return netip.AddrPort{}
}

// begin begins a connection, which may be there only later: until then, sending says EAGAIN.
func begin(to netip.AddrPort) (int, error) {
	fd, err := newSocket(to.Addr(), unix.SOCK_STREAM)
	if err != nil {
		return -1, err
	}
	// It ends with a reset, which leaves nothing behind in the kernels on the way.
	if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
		unix.Close(fd)
		return -1, os.NewSyscallError("setsockopt", err)
	}
	if err := unix.Connect(fd, sockaddr(to)); err != nil && err != unix.EINPROGRESS {
		unix.Close(fd)
		return -1, os.NewSyscallError("connect", err)
	}
	return fd, nil
}

// send sends all at once, or nothing: then sent is false.
func send(fd int, data []byte) (sent bool, err error) {
	_, err = unix.SendmsgN(fd, data, nil, nil, unix.MSG_NOSIGNAL)
	if err == unix.EAGAIN {
		return false, nil
	}
	return err == nil, os.NewSyscallError("send", err)
}

// receive returns what is there; ended is true at the end.
func receive(fd int, buffer []byte) (data []byte, ended bool, err error) {
	n, _, err := unix.Recvfrom(fd, buffer, 0)
	switch {
	case err == unix.EAGAIN:
		return nil, false, nil
	case err != nil:
		return nil, false, os.NewSyscallError("recv", err)
	}
	return buffer[:n], n == 0, nil
}
