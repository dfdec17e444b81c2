package ipvs

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// getInfo is IP_VS_SO_GET_INFO, and info what it answers with (linux/include/uapi/linux/ip_vs.h,
// struct ip_vs_getinfo).
const getInfo = 64 + 1024 + 64 + 1

type info struct{ version, size, services uint32 }

// counter asks how many IPv4 virtual services there are, in the network namespace in which it first
// did. The zero counter is ready to use.
type counter struct {
	socket *int // nil until it is opened
	answer info
	size   uint32
}

// count is how many IPv4 virtual services there are. Unlike a dump of them it costs the same
// however many: one system call. Any socket of IPv4 will do to ask; a raw one would take one
// capability more.
func (c *counter) count() (uint32, error) {
	if c.socket == nil {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return 0, fmt.Errorf("opening a socket: %w", err)
		}
		c.socket = &fd
	}
	c.size = uint32(unsafe.Sizeof(c.answer))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(*c.socket), unix.IPPROTO_IP, getInfo,
		uintptr(unsafe.Pointer(&c.answer)), uintptr(unsafe.Pointer(&c.size)), 0)
	if errno != 0 {
		return 0, os.NewSyscallError("getsockopt", errno)
	}
	return c.answer.services, nil
}

func (c *counter) close() {
	if c.socket != nil {
		unix.Close(*c.socket)
		c.socket = nil
	}
}
