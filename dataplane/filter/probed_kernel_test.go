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

	"github.com/tombolo-net/tombolo/internal/kernel/vxlan"
	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// knock connects from that address and returns what comes of it.
func knock(from *netns.Namespace, source, target string) (err error) {
	from.Do(func() {
		dialer := net.Dialer{Timeout: 5 * time.Second, LocalAddr: &net.TCPAddr{IP: netip.MustParseAddr(source).AsSlice()}}
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
	m.worker.Run("ip", "route", "add", "245.0.32.0/32", "via", "192.0.2.2", "dev", vxlan.Name, "onlink", "table", "7474")
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
	m.gateway.Serve("a listener", 22)
	if err := knock(m.worker, "245.0.32.64", port22); err == nil || errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("another port: %v, want no answer", err)
	}
}

// TestTunnelAddress: a gateway's own listeners do not answer at its tunnel address, neither to other
// clusters nor to nodes, whatever they listen on. Only probes of other gateways come in.
func TestTunnelAddress(t *testing.T) {
	m := newMember(t)
	program(t, m.worker, networkOf(t, "worker"))
	program(t, m.gateway, networkOf(t, "gateway"))
	m.gateway.Run("nft", "add table ip nodeport; add chain ip nodeport pre { type nat hook prerouting priority dstnat; }; "+
		"add rule ip nodeport pre fib daddr type local tcp dport 30080 dnat to 10.1.0.5:8080")
	for _, port := range []uint16{22, 7472, 7474, 7475, 9100} {
		m.gateway.Serve("gateway", port)
	}
	m.worker.Run("ip", "route", "add", "245.0.32.0/32", "via", "192.0.2.2", "dev", vxlan.Name, "onlink", "table", "7474")
	for _, network := range []string{"tcp", "udp"} {
		for _, port := range []string{"22", "7472", "7474", "7475", "9100", "10250", "30080"} {
			answer, err := m.east.Ask(network, "245.0.32.0:"+port)
			if network == "udp" && port == "7472" {
				if err != nil || answer != "gateway 10.1.0.5" {
					t.Errorf("a probe by a tunnel: %q, %v", answer, err)
				}
			} else if !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("another cluster, %s port %s: %q, %v; want a refusal", network, port, answer, err)
			}
		}
	}
	if err := knock(m.worker, "245.0.32.64", "245.0.32.0:10250"); err == nil || errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a node asks the kubelet: %v, want no answer", err)
	}
	if answer, err := m.worker.Ask("udp", "245.0.32.0:7472"); err == nil {
		t.Errorf("a node sends a probe: %q, want no answer", answer)
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
