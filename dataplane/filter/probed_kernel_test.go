//go:build kernel

package filter

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// knock connects from that address and returns what comes of it.
func knock(from *netns.Namespace, source, target string) (err error) {
	from.Do(func() {
		dialer := net.Dialer{Timeout: time.Second, LocalAddr: &net.TCPAddr{IP: netip.MustParseAddr(source).AsSlice()}}
		dialer.Control = func(_, _ string, c syscall.RawConn) error { // an IPv6 address that only a route makes local
			return c.Control(func(fd uintptr) { _ = syscall.SetsockoptInt(int(fd), syscall.SOL_IP, unix.IP_FREEBIND, 1) })
		}
		var conn net.Conn
		if conn, err = dialer.Dial("tcp", target); err == nil {
			conn.Close()
		}
	})
	return err
}

// TestProbed: a gateway refuses what asks whether it lives, whatever its firewall says and without a
// default route. No connection is tracked there, and the worker keeps no entry of it.
func TestProbed(t *testing.T) {
	m := newMember(t)
	program(t, m.worker, networkOf(t, "worker"))
	m.worker.Run("ip", "route", "add", "245.0.32.0/32", "via", "192.0.2.2", "dev", "tombolo-vx", "onlink", "table", "7474")
	const probed, port22 = "245.0.32.0:7472", "245.0.32.0:22"
	if err := knock(m.worker, "245.0.32.64", probed); err == nil || errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("a gateway that does not answer yet: %v", err)
	}
	m.gateway.Run("nft", "add table inet fw; add chain inet fw in { type filter hook input priority 0; policy drop; };"+
		"add rule inet fw in udp dport 7473 accept; add rule inet fw in meta l4proto ipv6-icmp accept;"+
		"add chain inet fw transit { type filter hook forward priority 0; policy drop; }; add rule inet fw transit ct state established accept")
	program(t, m.gateway, networkOf(t, "gateway"))
	m.worker.Run("conntrack", "-F")
	for _, source := range []string{"245.0.32.64", "192.0.2.1"} {
		for range 5 {
			if err := knock(m.worker, source, probed); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("from %s: %v, want a refusal", source, err)
			}
		}
	}
	for name, node := range map[string]*netns.Namespace{"worker": m.worker, "gateway": m.gateway} {
		if entries := node.Run("conntrack", "-L", "-p", "tcp"); strings.Contains(entries, "dport=7472") {
			t.Errorf("the %s tracks\n%s", name, entries)
		}
	}
	if err := knock(m.worker, "245.0.32.64", port22); err == nil || errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("another port: %v, want no answer", err)
	}
	if err := knock(m.east, "10.1.0.5", probed); err == nil || errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("from another cluster: %v, want no answer", err)
	}
}

// TestProbedByIPv6 is for clusters without IPv4.
func TestProbedByIPv6(t *testing.T) {
	m := newMember(t)
	program(t, m.worker, networkOf(t, "worker"))
	program(t, m.gateway, networkOf(t, "gateway"))
	hop := strings.Fields(m.worker.Run("ip", "-6", "route", "show", "fd01::/48", "table", "7474"))[2]
	m.worker.Run("ip", "route", "add", "fd5f:f9b7:58d1:2::/128", "via", hop, "dev", "tombolo-vx", "onlink", "table", "7474")
	if err := knock(m.worker, "fd5f:f9b7:58d1:2::40", "[fd5f:f9b7:58d1:2::]:7472"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("%v, want a refusal", err)
	}
}
