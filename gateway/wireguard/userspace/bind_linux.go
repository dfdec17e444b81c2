package userspace

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/conn"
)

// bind is the UDP sockets of a device. They are opened where the Engine runs, and what they send may
// be fragmented on the way.
type bind struct {
	conn.Bind
	engine *Engine

	// mu guards what follows.
	mu   sync.Mutex
	open bool
	// err of the last attempt to open them.
	err error
}

func newBind(e *Engine) *bind { return &bind{Bind: conn.NewStdNetBind(), engine: e} }

// Open implements conn.Bind.
func (b *bind) Open(port uint16) (receive []conn.ReceiveFunc, actual uint16, err error) {
	ended := b.engine.onRun(func() {
		receive, actual, err = b.Bind.Open(port)
		if err != nil {
			return
		}
		if err = allowFragments(int(actual)); err != nil {
			_ = b.Bind.Close()
		}
	})
	if ended != nil {
		err = ended
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.open, b.err = err == nil, err
	return receive, actual, err
}

// Close implements conn.Bind.
func (b *bind) Close() error {
	b.mu.Lock()
	b.open = false
	b.mu.Unlock()
	return b.Bind.Close()
}

func (b *bind) isOpen() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.open
}

func (b *bind) lastError() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}

// allowFragments makes this process's UDP sockets on that port send without DF and without regard
// to a path MTU, as the kernel's WireGuard does. Otherwise a path with a smaller MTU drops what is
// large, and a batch that is too large for the path is refused as a whole. The library shows neither
// its sockets nor a place for options of ours, so they are found among the open files.
func allowFragments(port int) error {
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("looking for the UDP sockets on port %d: %w", port, err)
	}
	var errs []error
	for _, f := range files {
		fd, err := strconv.Atoi(f.Name())
		if err != nil {
			continue
		}
		switch localPort, v6 := udpPort(fd); {
		case localPort != port:
		case v6:
			errs = append(errs, unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_OMIT))
		default:
			errs = append(errs, unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_OMIT))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("allowing fragments on UDP port %d: %w", port, err)
	}
	return nil
}

// udpPort is the local port of a UDP socket, and whether it is one of IPv6; zero if the file is
// something else.
func udpPort(fd int) (port int, v6 bool) {
	protocol, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PROTOCOL)
	if err != nil || protocol != unix.IPPROTO_UDP {
		return 0, false
	}
	switch addr, _ := unix.Getsockname(fd); a := addr.(type) {
	case *unix.SockaddrInet4:
		return a.Port, false
	case *unix.SockaddrInet6:
		return a.Port, true
	}
	return 0, false
}
