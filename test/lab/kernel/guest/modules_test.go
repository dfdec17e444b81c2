package guest

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// readIndex returns the keys of a kmod index, by the format's own description
// (kmod, libkmod/libkmod-index.c).
func readIndex(t *testing.T, index []byte) []string {
	t.Helper()
	if magic := binary.BigEndian.Uint32(index); magic != indexMagic {
		t.Fatalf("magic %#x, want %#x", magic, indexMagic)
	}
	var keys []string
	var walk func(offset uint32, key string)
	walk = func(offset uint32, key string) {
		at := index[offset&0x0fffffff:]
		if offset&nodePrefix != 0 {
			end := bytes.IndexByte(at, 0)
			key, at = key+string(at[:end]), at[end+1:]
		}
		if offset&nodeChildren != 0 {
			first, last := at[0], at[1]
			at = at[2:]
			for c := int(first); c <= int(last); c++ {
				if child := binary.BigEndian.Uint32(at); child != 0 {
					walk(child, key+string(rune(c)))
				}
				at = at[4:]
			}
		}
		if offset&nodeValues != 0 {
			if n := binary.BigEndian.Uint32(at); n != 1 {
				t.Errorf("%s has %d values, want 1", key, n)
			}
			keys = append(keys, key)
		}
	}
	walk(binary.BigEndian.Uint32(index[8:]), "")
	slices.Sort(keys)
	return keys
}

func TestModuleIndex(t *testing.T) {
	for _, tt := range []struct {
		name string
		want []string
	}{
		{"none", nil},
		{"one", []string{"ip_vs"}},
		{"prefix", []string{"ip_vs", "ip_vs_rr", "ip_vs_wrr"}},
		{"first letter", []string{"dummy", "veth", "vxlan"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, readIndex(t, moduleIndex(tt.want))); diff != "" {
				t.Errorf("keys (-want +got):\n%s", diff)
			}
		})
	}
}
