//go:build kernel || integration

package wireguard

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// A path with a smaller MTU than the tunnel needs carries what is large in fragments, single packets
// and batches, whoever serves the devices.
func TestKernelSmallPath(t *testing.T) {
	eachKind(t, func(t *testing.T, userspace bool) {
		p := newEnds(t, userspace, userspace)
		p.route(t, 1300)
		p.connect(t)
		p.a.ns.Run("busybox", "ping", "-c1", "-W10", "-s1380", "245.0.32.1")
		p.b.ns.Run("busybox", "ping", "-c1", "-W10", "-s1380", "245.0.16.0")
		p.send(t, 4<<20)
	})
}

// route puts a router between the ends. Its link to b has that MTU, and so has b's.
func (p *pair) route(t *testing.T, mtu int) {
	t.Helper()
	router := netns.New(t)
	for device, e := range map[string]*end{"to-a": p.a, "to-b": p.b} {
		own, other := "192.0.2.1", "192.0.2.2"
		if e == p.b {
			own, other = other, own
		}
		e.ns.Join("eth0", own+"/32", router, device, "192.0.2.254/32")
		e.ns.Run("ip", "route", "add", "192.0.2.254", "dev", "eth0")
		e.ns.Run("ip", "route", "add", other, "via", "192.0.2.254")
		router.Run("ip", "route", "add", own, "dev", device)
	}
	p.b.ns.Run("ip", "link", "set", "eth0", "mtu", fmt.Sprint(mtu))
	router.Run("ip", "link", "set", "to-b", "mtu", fmt.Sprint(mtu))
}

// send sends so many bytes from a to b by TCP through the tunnel.
func (p *pair) send(t *testing.T, size int) {
	t.Helper()
	var listener net.Listener
	var err error
	p.b.ns.Do(func() { listener, err = net.Listen("tcp", "245.0.32.1:8080") })
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	received := make(chan int64, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			received <- 0
			return
		}
		defer conn.Close()
		n, _ := io.Copy(io.Discard, conn)
		received <- n
	}()
	p.a.ns.Do(func() {
		var conn net.Conn
		if conn, err = net.DialTimeout("tcp", "245.0.32.1:8080", 10*time.Second); err != nil {
			return
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		_, err = conn.Write(bytes.Repeat([]byte("tombolo "), size/8))
	})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case got := <-received:
		if got != int64(size) {
			t.Errorf("received %d bytes, want %d", got, size)
		}
	case <-time.After(20 * time.Second):
		t.Error("what was sent did not arrive within 20 s")
	}
}
