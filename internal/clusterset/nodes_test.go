package clusterset

import (
	"net/netip"
	"testing"
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
