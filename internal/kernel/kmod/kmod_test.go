package kmod

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const dep = `kernel/net/netfilter/ipvs/ip_vs.ko.xz: kernel/net/netfilter/nf_conntrack.ko.xz kernel/net/ipv4/nf_defrag_ipv4.ko.xz kernel/lib/libcrc32c.ko.xz
kernel/net/netfilter/ipvs/ip_vs_wrr.ko: kernel/net/netfilter/ipvs/ip_vs.ko.xz
kernel/lib/libcrc32c.ko.xz:
kernel/drivers/net/some-thing.ko.zst:
`

func TestPaths(t *testing.T) {
	tests := []struct {
		name string
		want []string
	}{
		{"ip_vs", []string{"kernel/lib/libcrc32c.ko.xz", "kernel/net/ipv4/nf_defrag_ipv4.ko.xz",
			"kernel/net/netfilter/nf_conntrack.ko.xz", "kernel/net/netfilter/ipvs/ip_vs.ko.xz"}},
		{"ip_vs_wrr", []string{"kernel/net/netfilter/ipvs/ip_vs.ko.xz", "kernel/net/netfilter/ipvs/ip_vs_wrr.ko"}},
		{"libcrc32c", []string{"kernel/lib/libcrc32c.ko.xz"}},
		{"some_thing", []string{"kernel/drivers/net/some-thing.ko.zst"}},
	}
	for _, tt := range tests {
		got, err := paths(strings.NewReader(dep), tt.name)
		if diff := cmp.Diff(tt.want, got); err != nil || diff != "" {
			t.Errorf("paths of %s: %v, (-want +got)\n%s", tt.name, err, diff)
		}
	}
	if got, err := paths(strings.NewReader(dep), "ip_v"); !errors.Is(err, ErrNotFound) {
		t.Errorf("paths of a module that is not there: %v, %v", got, err)
	}
}

func TestCompressed(t *testing.T) {
	for _, tt := range []struct {
		file string
		want bool
	}{{"a.ko", false}, {"a.ko.xz", true}, {"a.ko.zst", true}, {"a.ko.gz", true}} {
		if compressed(tt.file) != tt.want {
			t.Errorf("compressed(%q) is %t", tt.file, !tt.want)
		}
	}
}
