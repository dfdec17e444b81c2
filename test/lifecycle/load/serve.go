package main

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// server answers at some addresses.
type server struct {
	listeners []listener
	// packets are sockets, by the addresses that they have.
	packets map[int]netip.AddrPort
	ready   int // epoll(7), of what is open
	open    map[int]conn
	streams streams
	looked  time.Time // when work looked after all but streams
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
			s := &server{packets: map[int]netip.AddrPort{}, open: map[int]conn{}, streams: streams{}}
			var err error
			if s.ready, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
				return os.NewSyscallError("epoll_create1", err)
			}
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
			for ; ; time.Sleep(s.tick()) {
				s.work(time.Now())
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
	fd, err := newPacketSocket(at.Addr())
	if err != nil {
		return err
	}
	s.packets[fd] = at
	if err := unix.Bind(fd, sockaddr(at)); err != nil {
		return fmt.Errorf("listening at %s: %w", at, err)
	}
	return nil
}

// tick is how long to wait before the next look.
func (s *server) tick() time.Duration {
	if len(s.streams) > 0 {
		return every
	}
	return serverTick
}

// work answers all that has come.
func (s *server) work(now time.Time) {
	for fd, address := range s.packets {
		for {
			n, from, err := unix.Recvfrom(fd, s.buffer[:], 0)
			if err != nil {
				break
			}
			if !s.streams.take(s.buffer[:n], fd, from, now) {
				_ = unix.Sendto(fd, fmt.Appendf(nil, "%s %s", address, s.buffer[:n]), 0, from) // the client notices
			}
		}
	}
	s.streams.work(now)
	if now.Sub(s.looked) < serverTick {
		return
	}
	s.looked = now
	for _, l := range s.listeners {
		for {
			fd, _, err := unix.Accept4(l.fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
			if err != nil {
				break
			}
			s.watch(conn{fd, l.http})
		}
	}
	s.answerAll()
}

// watch makes answerAll answer a new connection.
func (s *server) watch(c conn) {
	if unix.EpollCtl(s.ready, unix.EPOLL_CTL_ADD, c.fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(c.fd)}) != nil {
		unix.Close(c.fd) // the client notices
		return
	}
	s.open[c.fd] = c
}

// answerAll answers the connections that something has come over.
func (s *server) answerAll() {
	var events [256]unix.EpollEvent
	n, _ := unix.EpollWait(s.ready, events[:], 0) // an error is a signal, and there is a next time
	for _, e := range events[:max(n, 0)] {
		if c := s.open[int(e.Fd)]; s.answer(c) {
			delete(s.open, c.fd)
			unix.Close(c.fd)
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
