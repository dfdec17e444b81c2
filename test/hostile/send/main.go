// Command send sends IPv4 packets as they are: each argument is one, from its header on, in hex. It
// sends all of them, pauses, and sends them again, in case something had to be resolved first. With
// DEVICE in its environment they leave by this device, whatever the routes say. It needs CAP_NET_RAW.
package main

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(packets []string) error {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW) // with IP_HDRINCL, see raw(7)
	if err != nil {
		return fmt.Errorf("making a raw socket (it needs CAP_NET_RAW): %w", err)
	}
	defer unix.Close(socket)
	if device := os.Getenv("DEVICE"); device != "" {
		if err := unix.BindToDevice(socket, device); err != nil {
			return fmt.Errorf("sending by device %s: %w", device, err)
		}
	}
	for range 2 {
		for _, text := range packets {
			packet, err := hex.DecodeString(text)
			if err == nil && len(packet) < 20 {
				err = errors.New("it is shorter than an IPv4 header")
			}
			if err != nil {
				return fmt.Errorf("packet %q: %w", text, err)
			}
			to := unix.SockaddrInet4{Addr: [4]byte(packet[16:20])}
			if err := unix.Sendto(socket, packet, 0, &to); err != nil {
				fmt.Fprintf(os.Stderr, "to %s: %v\n", net.IP(to.Addr[:]), err) // an attack that its own kernel refuses
			}
			time.Sleep(2 * time.Millisecond)
		}
		time.Sleep(300 * time.Millisecond)
	}
	return nil
}
