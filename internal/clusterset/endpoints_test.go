package clusterset

import (
	"net/netip"
	"testing"
)

func TestFaultOf(t *testing.T) {
	tests := []struct {
		address string
		want    AddressFault
	}{
		{"10.1.0.1", ""},
		{"fd00::1", ""},
		{"2001:db8::1", ""},
		{"fe80::1%eth0", AddressHasZone},
		{"::ffff:10.1.0.1", AddressIs4In6},
		{"0.0.0.0", AddressUnspecified},
		{"::", AddressUnspecified},
		{"127.1.2.3", AddressLoopback},
		{"::1", AddressLoopback},
		{"224.0.0.1", AddressMulticast},
		{"ff02::1", AddressMulticast},
		{"169.254.1.1", AddressLinkLocal},
		{"fe80::1", AddressLinkLocal},
		{"255.255.255.255", AddressBroadcast},
	}
	for _, test := range tests {
		t.Run(test.address, func(t *testing.T) {
			if got := FaultOf(netip.MustParseAddr(test.address)); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
