// Command send sends IP packets as they are: each argument is one, from its header on, in hex. It
// sends all of them, pauses, and sends them again, in case something had to be resolved first. With
// DEVICE in its environment they leave by this device, whatever the routes say. It needs CAP_NET_RAW.
package main

import (
	"encoding/hex"
	"errors"
	"fmt"
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
	sockets := map[byte]int{} // by IP version
	for version, domain := range map[byte]int{4: unix.AF_INET, 6: unix.AF_INET6} {
		socket, err := open(domain)
		if err != nil {
			return err
		}
		defer unix.Close(socket)
		sockets[version] = socket
	}
	for range 2 {
		for _, text := range packets {
			packet, err := hex.DecodeString(text)
			if err == nil && len(packet) < 20 {
				err = errors.New("it is shorter than an IP header")
			}
			if err != nil {
				return fmt.Errorf("packet %q: %w", text, err)
			}
			var to unix.Sockaddr
			if packet[0]>>4 == 6 && len(packet) >= 40 {
				to = &unix.SockaddrInet6{Addr: [16]byte(packet[24:40])}
			} else {
				to = &unix.SockaddrInet4{Addr: [4]byte(packet[16:20])}
			}
			if err := unix.Sendto(sockets[packet[0]>>4], packet, 0, to); err != nil {
				fmt.Fprintf(os.Stderr, "packet %s: %v\n", text, err) // an attack that its own kernel refuses
			}
			time.Sleep(2 * time.Millisecond)
		}
		time.Sleep(300 * time.Millisecond)
	}
	return nil
}

// open returns a raw socket that takes packets with their headers, see raw(7).
func open(domain int) (int, error) {
	socket, err := unix.Socket(domain, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return 0, fmt.Errorf("making a raw socket (it needs CAP_NET_RAW): %w", err)
	}
	if device := os.Getenv("DEVICE"); device != "" {
		if err := unix.BindToDevice(socket, device); err != nil {
			return 0, fmt.Errorf("sending by device %s: %w", device, errors.Join(err, unix.Close(socket)))
		}
	}
	return socket, nil
}
