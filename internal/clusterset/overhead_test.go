package clusterset

import (
	"net/netip"
	"testing"
)

func TestVXLANOverhead(t *testing.T) {
	tests := []struct {
		name     string
		underlay string
		want     int
	}{
		{"IPv4", "192.0.2.1", 50},
		{"IPv6", "fd99::1", 70},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			if got := VXLANOverhead(netip.MustParseAddr(tc.underlay)); got != tc.want {
				t.Errorf("overhead is %d, want %d", got, tc.want)
			}
		})
	}
}
