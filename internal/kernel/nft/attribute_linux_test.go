package nft

import (
	"bytes"
	"testing"
)

func TestAttributes(t *testing.T) {
	b := AppendText(nil, 1, "served4")
	b = AppendNest(b, 2, func(b []byte) []byte { return AppendAttribute(b, 3, 1, 2, 3, 4, 5) })
	if len(b) != 12+4+12 {
		t.Errorf("%d bytes, want 28: each attribute begins at a multiple of four", len(b))
	}
	if got := Text(Attribute(b, 1)); got != "served4" {
		t.Errorf("text %q", got)
	}
	if got := Attribute(b, 2, 3); !bytes.Equal(got, []byte{1, 2, 3, 4, 5}) {
		t.Errorf("nested: %v", got)
	}
	if got := Attribute(b, 3); got != nil {
		t.Errorf("what is not there: %v", got)
	}
}

func FuzzAttributes(f *testing.F) {
	f.Add(AppendNest(nil, 2, func(b []byte) []byte { return AppendText(b, 3, "x") }))
	f.Add([]byte{3, 0, 1, 0, 9})
	f.Fuzz(func(t *testing.T, b []byte) {
		size := 0
		for _, value := range Attributes(b) {
			size += 4 + len(value)
			_ = Text(value)
		}
		if size > len(b) {
			t.Errorf("%d bytes of attributes in %d", size, len(b))
		}
		for m := range parse(b) {
			_ = m.errno()
		}
	})
}
