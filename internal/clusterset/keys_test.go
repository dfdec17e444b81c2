package clusterset

import (
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"
)

func TestKeyFault(t *testing.T) {
	key := func(text string) string {
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		return base64.StdEncoding.EncodeToString(b)
	}
	for _, tt := range []struct{ name, key, want string }{
		{"base point", key("09" + strings.Repeat("00", 31)), ""},
		{"of RFC 7748", key("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"), ""},
		{"no base64", "?", "not a WireGuard key"},
		{"too short", "AAAA", "not a WireGuard key"},
		{"zero", key(strings.Repeat("00", 32)), "low order"},
		{"one", key("01" + strings.Repeat("00", 31)), "low order"},
		{"of order 8", key("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"), "low order"},
		{"of order 8, the other one", key("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"), "low order"},
		{"p - 1", key("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"), "low order"},
		{"p", key("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"), "low order"},
		{"p + 1", key("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"), "low order"},
	} {
		got := KeyFault(tt.key)
		if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
