//go:build kernel

// Package testnet makes small networks out of network namespaces, for tests that send real traffic through a real
// kernel. It owns the namespaces and the links that it made, until the test ends, and nothing else.
package testnet

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// timeout of one exchange with an Echo server. Tests do not wait for it, unless they fail.
const timeout = 3 * time.Second

// Namespace is a network namespace: a node or a pod of the test.
type Namespace struct {
	t      testing.TB
	handle netns.NsHandle
}

// New makes a namespace with its loopback device up. It forwards packets, as nodes do.
func New(t testing.TB) *Namespace {
	t.Helper()
	n := &Namespace{t: t}
	onThread(func() {
		var err error
		n.handle, err = netns.New()
		check(t, err, "making a namespace")
	})
	t.Cleanup(func() { n.handle.Close() })
	n.Do(func() {
		lo, err := netlink.LinkByName("lo")
		check(t, err, "finding lo")
		check(t, netlink.LinkSetUp(lo), "setting lo up")
	})
	n.Sysctl("net/ipv4/ip_forward", "1")
	n.Sysctl("net/ipv6/conf/all/forwarding", "1")
	// No duplicate address detection: until it is over, a second or two, a device's link-local address asks no neighbour.
	n.Sysctl("net/ipv6/conf/all/accept_dad", "0")
	n.Sysctl("net/ipv6/conf/default/accept_dad", "0")
	return n
}

// Do runs f on a thread inside the namespace; f must not start goroutines that open sockets.
func (n *Namespace) Do(f func()) {
	n.t.Helper()
	onThread(func() {
		check(n.t, netns.Set(n.handle), "entering a namespace")
		f()
	})
}

// onThread runs f on a thread that ends with it, so that its namespace leaks into no other test. A panic or a FailNow in
// f is one of the caller.
func onThread(f func()) {
	type end struct {
		panicked any
		returned bool
	}
	done := make(chan end)
	go func() {
		var e end
		defer func() {
			e.panicked = recover()
			done <- e
		}()
		runtime.LockOSThread()
		f()
		e.returned = true
	}()
	switch e := <-done; {
	case e.panicked != nil:
		panic(e.panicked)
	case !e.returned:
		runtime.Goexit()
	}
}

// Sysctl sets a file below /proc/sys.
func (n *Namespace) Sysctl(name, value string) {
	n.t.Helper()
	n.Do(func() { check(n.t, os.WriteFile("/proc/sys/"+name, []byte(value), 0), "setting "+name) })
}

// Run runs a program in the namespace and returns what it printed.
func (n *Namespace) Run(name string, args ...string) string {
	n.t.Helper()
	var out []byte
	n.Do(func() {
		var err error
		out, err = exec.Command(name, args...).CombinedOutput()
		check(n.t, err, fmt.Sprintf("running %s %s: %s", name, strings.Join(args, " "), out))
	})
	return string(out)
}

// Join makes a pair of devices: one named device with that address in n, one named peerDevice in peer.
func (n *Namespace) Join(device, address string, peer *Namespace, peerDevice, peerAddress string) {
	n.t.Helper()
	n.Do(func() {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = device
		pair := &netlink.Veth{LinkAttrs: attrs, PeerName: peerDevice, PeerNamespace: netlink.NsFd(peer.handle)}
		check(n.t, netlink.LinkAdd(pair), "adding "+device)
	})
	n.Address(device, address)
	peer.Address(peerDevice, peerAddress)
}

// Address gives a device an address and sets it up.
func (n *Namespace) Address(device, address string) {
	n.t.Helper()
	n.Do(func() {
		link, err := netlink.LinkByName(device)
		check(n.t, err, "finding "+device)
		parsed, err := netlink.ParseAddr(address)
		check(n.t, err, "parsing "+address)
		parsed.Flags |= 0x02 // IFA_F_NODAD: an IPv6 address is usable at once
		check(n.t, netlink.AddrAdd(link, parsed), "adding "+address)
		check(n.t, netlink.LinkSetUp(link), "setting up "+device)
	})
}

// Route adds a route by way of a gateway.
func (n *Namespace) Route(prefix, gateway string) {
	n.t.Helper()
	n.Do(func() {
		_, dst, err := net.ParseCIDR(prefix)
		check(n.t, err, "parsing "+prefix)
		check(n.t, netlink.RouteAdd(&netlink.Route{Dst: dst, Gw: net.ParseIP(gateway)}), "adding a route to "+prefix)
	})
}

// Serve answers every TCP connection and UDP packet on the port with "<name> <client's address>", until the test
// ends.
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

// Ask connects to a server made by Serve and returns its answer. The network is "tcp" or "udp".
func (n *Namespace) Ask(network, address string) (answer string, err error) {
	n.Do(func() {
		var conn net.Conn
		if conn, err = net.DialTimeout(network, address, timeout); err != nil {
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

// Exchange sends packets to a UDP server made by Serve until one is answered, and returns the answer: one may be lost
// when an endpoint goes.
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

func check(t testing.TB, err error, what string) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}
