package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
)

// probePort is the port at which a gateway answers whether it lives (dataplane/plan, ProbePort).
const probePort = 7472

// newSYNsCommand makes the command that runs on a worker and asks a gateway whether it lives as
// often as many workers do.
func newSYNsCommand() *cobra.Command {
	var from, to string
	var rate int
	var duration time.Duration
	cmd := &cobra.Command{
		Use:    "syns",
		Short:  "Send TCP SYNs to a gateway's probe port and count the resets",
		Args:   cobra.NoArgs,
		Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			source, err := netip.ParseAddr(from)
			destination, errTo := netip.ParseAddr(to)
			if err := errors.Join(err, errTo); err != nil {
				return err
			}
			sent, resets, err := askMany(cmd.Context(), source, destination, rate, duration)
			fmt.Printf("%d sent, %d answered\n", sent, resets)
			return err
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "an IPv4 address of this node")
	cmd.Flags().StringVar(&to, "to", "", "the gateway's tunnel address")
	cmd.Flags().IntVar(&rate, "rate", 1000, "SYNs in a second")
	cmd.Flags().DurationVar(&duration, "duration", time.Second, "for how long")
	return cmd
}

// burstEvery is how often SYNs are sent, as many as are due.
const burstEvery = 5 * time.Millisecond

// askMany sends SYNs from changing ports, in bursts, and counts the answers.
func askMany(ctx context.Context, from, to netip.Addr, rate int, duration time.Duration) (sent, resets int, err error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return 0, 0, os.NewSyscallError("socket", err)
	}
	defer func() { _ = unix.Close(fd) }()
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: from.As4()}); err != nil {
		return 0, 0, os.NewSyscallError("bind", err)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20) // else some answers are not counted
	tick := time.NewTicker(burstEvery)
	defer tick.Stop()
	answer := make([]byte, 128)
	for begun := time.Now(); time.Since(begun) < duration; {
		select {
		case <-ctx.Done():
			return sent, resets, ctx.Err()
		case <-tick.C:
		}
		for due := int(float64(rate) * time.Since(begun).Seconds()); sent < due; sent++ {
			packet := syn(from, to, uint16(1024+sent%60000))
			if err := unix.Sendto(fd, packet, 0, &unix.SockaddrInet4{Addr: to.As4()}); err != nil {
				return sent, resets, os.NewSyscallError("sendto", err)
			}
		}
		resets += countResets(fd, to, answer)
	}
	return sent, resets, nil
}

// countResets counts the resets that have come from the gateway.
func countResets(fd int, to netip.Addr, b []byte) (n int) {
	for {
		size, from, err := unix.Recvfrom(fd, b, 0)
		if err != nil {
			return n
		}
		peer, ok := from.(*unix.SockaddrInet4)
		const header, flags, rst = 20, 13, 4 // of IPv4 without options, and of TCP
		if ok && netip.AddrFrom4(peer.Addr) == to && size >= header+flags+1 && b[header+flags]&rst != 0 {
			n++
		}
	}
}

// syn is a TCP header with the flag SYN (RFC 9293), and its checksum over IPv4's pseudo-header.
func syn(from, to netip.Addr, port uint16) []byte {
	b := make([]byte, 20)
	binary.BigEndian.PutUint16(b[0:], port)
	binary.BigEndian.PutUint16(b[2:], probePort)
	b[12], b[13] = 5<<4, 2
	binary.BigEndian.PutUint16(b[14:], 1024)
	pseudo := append(append(append([]byte{}, from.AsSlice()...), to.AsSlice()...), 0, unix.IPPROTO_TCP, 0, byte(len(b)))
	var sum uint32
	for _, part := range [][]byte{pseudo, b} {
		for i := 0; i < len(part); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(part[i:]))
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(b[16:], ^uint16(sum))
	return b
}
