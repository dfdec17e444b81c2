package clusterset

import (
	"fmt"
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestNodeMAC(t *testing.T) {
	seen := map[[6]byte]string{}
	for _, node := range []string{"", "a", "b", "node-1.example.com", "node-2.example.com"} {
		mac := NodeMAC(node)
		if mac[0]&0x03 != 0x02 {
			t.Errorf("NodeMAC(%q) is %x, want a unicast, locally administered one", node, mac)
		}
		if other, ok := seen[mac]; ok {
			t.Errorf("%q and %q have one MAC", node, other)
		}
		seen[mac] = node
		if mac != NodeMAC(node) {
			t.Errorf("NodeMAC(%q) is not stable", node)
		}
	}
}

func TestNodeLinkLocal(t *testing.T) {
	if mac := NodeMAC("a"); mac != [6]byte{0x1e, 0x5b, 0xa1, 0xa6, 0x11, 0xd1} {
		t.Errorf("NodeMAC is %x", mac)
	}
	if got, want := NodeLinkLocal("a"), netip.MustParseAddr("fe80::1c5b:a1ff:fea6:11d1"); got != want {
		t.Errorf("NodeLinkLocal is %s, want %s", got, want)
	}
}

func TestAddressesOf(t *testing.T) {
	node := &corev1.Node{Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{
		{Type: corev1.NodeHostName, Address: "a"},
		{Type: corev1.NodeInternalIP, Address: "fd99::1"},
		{Type: corev1.NodeExternalIP, Address: "203.0.113.1"},
		{Type: corev1.NodeInternalIP, Address: "nonsense"},
		{Type: corev1.NodeInternalIP, Address: "192.0.2.1"},
		{Type: corev1.NodeInternalIP, Address: "::ffff:192.0.2.1"},
		{Type: corev1.NodeInternalIP, Address: "fd99::2"},
	}}}
	if got, want := fmt.Sprint(AddressesOf(node, corev1.NodeInternalIP)), "[fd99::1 192.0.2.1 fd99::2]"; got != want {
		t.Errorf("internal addresses are %s, want %s", got, want)
	}
	if got, want := fmt.Sprint(InternalIPs(node)), "[fd99::1 192.0.2.1]"; got != want {
		t.Errorf("the first of each family are %s, want %s", got, want)
	}
	if got := OfFamily(InternalIPs(node), true).String(); got != "192.0.2.1" {
		t.Errorf("IPv4 is %s", got)
	}
	if got := OfFamily(nil, true); got.IsValid() {
		t.Errorf("of no addresses: %s", got)
	}
}
