package nodestate

import (
	"bytes"
	"strings"
	"testing"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"
)

func TestReadable(t *testing.T) {
	for in, want := range map[string]string{
		"TCP  F4001B56:0050 wlc":                                 "TCP  244.0.27.86:80 wlc",
		"  -> 0A010203:1F90      Masq    1      0          0":    "  -> 10.1.2.3:8080      Masq    1      0          0",
		"TCP  [fd00:0000:0000:0000:0000:0000:0000:0001]:0050 rr": "TCP  [fd00:0000:0000:0000:0000:0000:0000:0001]:80 rr",
		"IP Virtual Server version 1.2.1 (size=4096)":            "IP Virtual Server version 1.2.1 (size=4096)",
	} {
		if got := readable(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// TestNoKeys: whoever reads the print cannot decrypt, and cannot be the gateway.
func TestNoKeys(t *testing.T) {
	private, err := wgtypes.GeneratePrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	preshared, err := wgtypes.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	device := &wgtypes.Device{Name: "tombolo0", PrivateKey: private, PublicKey: private.PublicKey(), Peers: []wgtypes.Peer{{PresharedKey: preshared}}}
	var out bytes.Buffer
	writeDevices(&out, []*wgtypes.Device{device})
	if text := out.String(); strings.Contains(text, private.String()) || strings.Contains(text, preshared.String()) {
		t.Errorf("a secret key is in %s", text)
	}
	if !strings.Contains(out.String(), private.PublicKey().String()) {
		t.Errorf("the public key is not in %s", out.String())
	}
}
