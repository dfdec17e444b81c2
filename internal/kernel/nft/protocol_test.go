package nft

import "testing"

// TestProtocols: the numbers are IANA's, and lead back to the names.
func TestProtocols(t *testing.T) {
	for name, number := range map[string]byte{"tcp": 6, "udp": 17, "sctp": 132, "": 0, "icmp": 0} {
		if got := ProtocolNumber(name); got != number {
			t.Errorf("%q has number %d, want %d", name, got, number)
		}
		if got := ProtocolName(number); number != 0 && got != name {
			t.Errorf("%d is %q, want %q", number, got, name)
		}
	}
	for _, number := range []byte{0, 1, 58, 255} {
		if got := ProtocolName(number); got != "" {
			t.Errorf("%d is %q, want none", number, got)
		}
	}
}
