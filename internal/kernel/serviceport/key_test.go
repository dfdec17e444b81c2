package serviceport

import (
	"net/netip"
	"testing"
	"unsafe"
)

// The numbers are IANA's, and lead back to the names.
func TestProtocols(t *testing.T) {
	tests := []struct {
		name, nft string
		number    Protocol
	}{{"TCP", "tcp", 6}, {"UDP", "udp", 17}, {"SCTP", "sctp", 132}}
	for _, tc := range tests {
		if got := ParseProtocol(tc.name); got != tc.number || ParseProtocol(tc.nft) != tc.number {
			t.Errorf("%q has number %d, want %d", tc.name, got, tc.number)
		}
		if got := tc.number.String(); got != tc.name || tc.number.NFT() != tc.nft || !tc.number.Known() {
			t.Errorf("%d is %q, %q to nft, want %q and %q", tc.number, got, tc.number.NFT(), tc.name, tc.nft)
		}
	}
	for _, name := range []string{"", "icmp", "IP protocol 6", "6"} {
		if got := ParseProtocol(name); got != 0 {
			t.Errorf("%q has number %d, want none", name, got)
		}
	}
	for _, number := range []Protocol{0, 1, 58, 255} {
		if number.NFT() != "" || number.Known() {
			t.Errorf("%d is %q to nft, want none", number, number.NFT())
		}
	}
	if got := Protocol(47).String(); got != "IP protocol 47" {
		t.Errorf("47 is %q", got)
	}
}

// Keys that differ in one field are distinct, and sort by address, name of the protocol and port.
func TestKey(t *testing.T) {
	v4, v6 := netip.MustParseAddr("244.0.0.1"), netip.MustParseAddr("fd77::1")
	all := []Key{{}, {v4, SCTP, 9}, {v4, TCP, 80}, {v4, TCP, 81}, {v4, UDP, 53}, {v4.Next(), TCP, 80}, {v6, TCP, 80}}
	for i, a := range all {
		for j, b := range all {
			if got, want := a.Compare(b), i-j; (got < 0) != (want < 0) || (got > 0) != (want > 0) || (a == b) != (i == j) {
				t.Errorf("%v compares to %v as %d", a, b, got)
			}
		}
	}
	if got, want := all[6].String(), "TCP [fd77::1]:80"; got != want {
		t.Errorf("key is %q, want %q", got, want)
	}
	// Maps of 100,000 keys are compared in every audit.
	if got := unsafe.Sizeof(Key{}); got > 32 {
		t.Errorf("a key has %d bytes, want 32 at most", got)
	}
}
