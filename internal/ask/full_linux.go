package ask

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tombolo-net/tombolo/internal/explain"
)

const (
	// firstPort and ports are those of traceroute: nothing listens there, so a host refuses what comes.
	firstPort, ports = 33434, 100
	// rounds is how often a large packet may be lost before it counts, each time with a small one after
	// it that arrives. A host sends few refusals in a second (RFC 1812, section 4.3.2.8): if it has
	// sent none to the large one for that reason, it sends none to the small one either.
	rounds = 2
	// answer is how long a refusal may take.
	answer = 400 * time.Millisecond
)

// headers are the bytes of the IP and UDP headers.
func headers(to netip.Addr) int {
	if to.Is4() {
		return 20 + 8
	}
	return 40 + 8
}

// full finds out whether packets arrive that are as large as the route carries. The host at the
// address refuses them, as nothing listens.
func full(ctx context.Context, to netip.Addr) explain.Full {
	f := explain.Full{To: to}
	for range rounds {
		large, bytes, err := refused(ctx, to, true)
		f.Bytes = bytes
		if err != nil {
			f.Error = err.Error()
			return f
		}
		if large {
			f.Outcome = explain.Open
			return f
		}
		if small, _, err := refused(ctx, to, false); err != nil || !small {
			return f
		}
	}
	f.Outcome = explain.TimedOut
	return f
}

// refused sends one datagram that may not be fragmented, and tells whether the host has refused it,
// and what the route carries in bytes.
func refused(ctx context.Context, to netip.Addr, large bool) (came bool, mtu int, err error) {
	conn, err := (&net.Dialer{ControlContext: whole}).DialContext(ctx, "udp", netip.AddrPortFrom(to, firstPort+uint16(rand.IntN(ports))).String())
	if err != nil {
		return false, 0, err
	}
	defer conn.Close()
	if mtu, err = routeMTU(conn.(*net.UDPConn), to); err != nil { // what DialContext promises for udp
		return false, 0, err
	}
	var payload []byte
	if large {
		payload = make([]byte, mtu-headers(to))
	}
	if _, err := conn.Write(payload); err != nil {
		return errors.Is(err, syscall.ECONNREFUSED), mtu, nil
	}
	until := time.Now().Add(answer)
	if limit, ok := ctx.Deadline(); ok && limit.Before(until) {
		until = limit
	}
	if err := conn.SetReadDeadline(until); err != nil {
		return false, mtu, err
	}
	_, err = conn.Read(make([]byte, 1))
	// An answer is as good as a refusal. Other errors say that it did not arrive.
	return err == nil || errors.Is(err, syscall.ECONNREFUSED), mtu, nil
}

// whole forbids the socket's packets to be fragmented.
func whole(_ context.Context, network, _ string, c syscall.RawConn) error {
	var err error
	controlErr := c.Control(func(fd uintptr) {
		if network == "udp4" {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO)
		} else {
			err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_DO)
		}
	})
	return errors.Join(controlErr, err)
}

// routeMTU is what the route to the connected address carries, in bytes.
func routeMTU(conn *net.UDPConn, to netip.Addr) (mtu int, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	controlErr := raw.Control(func(fd uintptr) {
		if to.Is4() {
			mtu, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU)
		} else {
			mtu, err = unix.GetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MTU)
		}
	})
	if err := errors.Join(controlErr, err); err != nil {
		return 0, fmt.Errorf("asking for the MTU of the route to %s: %w", to, err)
	}
	return mtu, nil
}
