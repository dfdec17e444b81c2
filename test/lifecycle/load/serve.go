package main

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// server answers at some addresses.
type server struct {
	listeners []listener
	// packets are sockets, by the addresses that they have.
	packets map[int]netip.AddrPort
	open    []conn
	buffer  [1024]byte
}

type listener struct {
	fd   int
	http bool
}

// conn is a connection; one of HTTP ends with the answer.
type conn struct {
	fd   int
	http bool
}

func newServeCommand() *cobra.Command {
	var http, echo uint16
	c := &cobra.Command{
		Use:   "serve ADDRESS...",
		Short: "Answer HTTP requests and echo lines, at any address, and answer packets at these with the address and what was sent",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			s := &server{packets: map[int]netip.AddrPort{}}
			if err := errors.Join(s.listen(http, true), s.listen(echo, false)); err != nil {
				return err
			}
			for _, text := range args {
				address, err := netip.ParseAddr(text)
				if err != nil {
					return err
				}
				if err := s.listenPackets(netip.AddrPortFrom(address, echo)); err != nil {
					return err
				}
			}
			fmt.Println("serving")
			for ; ; time.Sleep(serverTick) {
				s.work()
			}
		},
	}
	c.Flags().Uint16Var(&http, "http", 8080, "port of HTTP")
	c.Flags().Uint16Var(&echo, "echo", 7007, "port of lines and packets")
	return c
}

// listen listens at all addresses of both families.
func (s *server) listen(port uint16, http bool) error {
	any := netip.AddrPortFrom(netip.IPv6Unspecified(), port)
	fd, err := newSocket(any.Addr(), unix.SOCK_STREAM)
	if err != nil {
		return err
	}
	s.listeners = append(s.listeners, listener{fd, http})
	if err := errors.Join(unix.Bind(fd, sockaddr(any)), unix.Listen(fd, 1024)); err != nil {
		return fmt.Errorf("listening on port %d: %w", port, err)
	}
	return nil
}

// listenPackets listens at one address, so that answers come from there.
func (s *server) listenPackets(at netip.AddrPort) error {
	fd, err := newSocket(at.Addr(), unix.SOCK_DGRAM)
	if err != nil {
		return err
	}
	s.packets[fd] = at
	if err := unix.Bind(fd, sockaddr(at)); err != nil {
		return fmt.Errorf("listening at %s: %w", at, err)
	}
	return nil
}

// work answers all that has come.
func (s *server) work() {
	for _, l := range s.listeners {
		for {
			fd, _, err := unix.Accept4(l.fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
			if err != nil {
				break
			}
			s.open = append(s.open, conn{fd, l.http})
		}
	}
	s.open = slices.DeleteFunc(s.open, func(c conn) bool {
		ended := s.answer(c)
		if ended {
			unix.Close(c.fd)
		}
		return ended
	})
	for fd, address := range s.packets {
		for {
			n, from, err := unix.Recvfrom(fd, s.buffer[:], 0)
			if err != nil {
				break
			}
			_ = unix.Sendto(fd, fmt.Appendf(nil, "%s %s", address, s.buffer[:n]), 0, from) // the client notices
		}
	}
}

// answer answers what has come and reports whether the connection has ended.
func (s *server) answer(c conn) (ended bool) {
	data, ended, err := receive(c.fd, s.buffer[:])
	if ended || err != nil || len(data) == 0 {
		return ended || err != nil
	}
	if c.http {
		data = []byte("HTTP/1.0 200 OK\r\n\r\nok\n")
	}
	_, err = send(c.fd, data)
	return c.http || err != nil
}
