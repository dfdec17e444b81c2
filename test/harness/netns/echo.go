//go:build kernel || integration

package netns

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"
)

// timeout of one exchange with an Echo server. Tests do not wait for it, unless they fail.
const timeout = 3 * time.Second

// Serve answers every TCP connection and UDP packet on the port with "<name> <client's address>",
// until the test ends.
func (n *Namespace) Serve(name string, port uint16) {
	n.t.Helper()
	n.Do(func() {
		address := fmt.Sprintf(":%d", port)
		listener, err := net.Listen("tcp", address)
		check(n.t, err, "listening")
		packets, err := net.ListenPacket("udp", address)
		check(n.t, err, "listening")
		n.t.Cleanup(func() { listener.Close(); packets.Close() })
		go serveTCP(listener, name)
		go serveUDP(packets, name)
	})
}

func serveTCP(listener net.Listener, name string) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		fmt.Fprintf(conn, "%s %s", name, host(conn.RemoteAddr()))
		conn.Close()
	}
}

func serveUDP(packets net.PacketConn, name string) {
	b := make([]byte, 64)
	for {
		_, from, err := packets.ReadFrom(b)
		if err != nil {
			return
		}
		fmt.Fprintf(writerTo{packets, from}, "%s %s", name, host(from))
	}
}

type writerTo struct {
	net.PacketConn
	to net.Addr
}

func (w writerTo) Write(b []byte) (int, error) { return w.WriteTo(b, w.to) }

func host(a net.Addr) string {
	return netip.MustParseAddrPort(a.String()).Addr().Unmap().String()
}

// firstUDPPort and udpPorts are the ports that Ask sends UDP from, one after the other. They are
// below those that the kernel chooses from.
const firstUDPPort, udpPorts = 10000, 20000

// Ask connects to a server made by Serve and returns its answer. The network is "tcp" or "udp". UDP
// comes from another port each time. The kernel could choose one that was used seconds ago: then
// the packet would belong to the old flow, and get the endpoint which that one had.
func (n *Namespace) Ask(network, address string) (answer string, err error) {
	n.Do(func() {
		dialer := net.Dialer{Timeout: timeout}
		if network == "udp" {
			dialer.LocalAddr = &net.UDPAddr{Port: firstUDPPort + int(n.asked.Add(1)%udpPorts)}
		}
		var conn net.Conn
		if conn, err = dialer.DialContext(n.t.Context(), network, address); err != nil {
			return
		}
		defer conn.Close()
		if err = conn.SetDeadline(time.Now().Add(timeout)); err != nil {
			return
		}
		if network == "udp" {
			if _, err = conn.Write([]byte("?")); err != nil {
				return
			}
			b := make([]byte, 256)
			var size int
			size, err = conn.Read(b)
			answer = string(b[:size])
			return
		}
		var b []byte
		b, err = io.ReadAll(conn)
		answer = string(b)
	})
	return answer, err
}

// Exchange sends packets to a UDP server made by Serve until one is answered, and returns the
// answer: one may be lost when an endpoint goes.
func Exchange(t testing.TB, conn net.Conn) string {
	t.Helper()
	b := make([]byte, 64)
	for range 10 {
		if _, err := conn.Write([]byte("?")); err != nil && !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatal(err)
		}
		check(t, conn.SetReadDeadline(time.Now().Add(time.Second)), "setting a deadline")
		if n, err := conn.Read(b); err == nil {
			return string(b[:n])
		}
	}
	return "nothing"
}
