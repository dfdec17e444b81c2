package image

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseURIs(t *testing.T) {
	const out = `Reading package lists...
'http://mirror.example/pool/g/gcc-12-base_12.2.0-14%2bdeb12u1_amd64.deb' gcc-12-base_12.2.0-14+deb12u1_amd64.deb 37596 MD5Sum:8e7e
'http://mirror.example/pool/z/zlib1g_1.2.13.dfsg-1_amd64.deb' zlib1g_1%3a1.2.13.dfsg-1_amd64.deb 86684 
`
	want := []deb{
		{File: "gcc-12-base_12.2.0-14+deb12u1_amd64.deb", Hash: "MD5Sum:8e7e"},
		{File: "zlib1g_1%3a1.2.13.dfsg-1_amd64.deb"},
	}
	if diff := cmp.Diff(want, parseURIs([]byte(out))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestRemember(t *testing.T) {
	s := newStore(t.TempDir(), nil)
	if err := s.prepareApt(); err != nil {
		t.Fatal(err)
	}
	packages := []string{"a", "b"}
	if got := s.remembered(packages); got != nil {
		t.Errorf("an empty cache remembers %v", got)
	}
	want := []deb{{File: "a.deb", Hash: "h"}, {File: "b.deb"}}
	if err := s.remember(packages, want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, s.remembered(packages)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := s.remembered([]string{"a"}); got != nil {
		t.Errorf("of other packages it remembers %v", got)
	}
}
