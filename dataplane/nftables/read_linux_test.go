package nftables

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tombolo-net/tombolo/internal/kernel/nft"
)

// FuzzRead: whatever a map holds, reading it does not fail, and what is taken for ours is written
// the same again.
func FuzzRead(f *testing.F) {
	sets := []string{}
	for _, m := range mappings(false) {
		sets = append(sets, m.name)
	}
	s := service("10.1.0.1:80", "10.1.0.2:80")
	s.Affinity = 60e9
	for _, e := range (ServiceChange{Key: web, Want: s.layout(web)}).elements() {
		for i := range sets {
			f.Add(uint8(i), e.appendTo(nil))
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, attrs []byte) {
		set := sets[int(which)%len(sets)]
		e := parseElement(set, attrs)
		state := State{Maps: map[string]string{}, Services: map[Key]Layout{}, Affinity: map[Client]netip.AddrPort{}}
		ours, _ := state.add(set, e)
		for k, layout := range state.Services {
			if len(layout.Slots) > MaxSlots {
				t.Errorf("%d slots", len(layout.Slots))
			}
			for _, again := range (ServiceChange{Key: k, Want: layout}).elements() {
				if state.add(again.set, again); !ours {
					t.Error("what is not ours was taken")
				}
			}
		}
		message := nft.AppendNest(nil, unix.NFTA_SET_ELEM_LIST_ELEMENTS, func(b []byte) []byte {
			return nft.AppendAttribute(b, unix.NFTA_LIST_ELEM, attrs...)
		})
		state.addAll(set, [][]byte{message})
		_ = commentOf(attrs)
	})
}

func TestExplain(t *testing.T) {
	for errno, want := range map[unix.Errno]string{
		unix.EPERM: "NET_ADMIN", unix.ENOSPC: "no room", unix.ENOMEM: "no memory", unix.EACCES: "NET_ADMIN", unix.ENFILE: "full", unix.ENOBUFS: "rmem_max",
		unix.EMSGSIZE: "wmem_max", unix.EPROTONOSUPPORT: "nf_tables", unix.EOPNOTSUPP: "nft_numgen",
	} {
		err := explain(errno)
		if !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), errno.Error()) {
			t.Errorf("%v: %v; want %q in it", errno, err, want)
		}
		if again := explain(fmt.Errorf("reading: %w", err)); strings.Count(again.Error(), want) != strings.Count(err.Error(), want) {
			t.Errorf("explained twice: %v", again)
		}
	}
	if explain(nil) != nil || explain(unix.ENOENT) != unix.ENOENT {
		t.Error("what has no remedy is changed")
	}
}

func TestOlder(t *testing.T) {
	for _, tt := range []struct {
		release string
		want    bool
	}{{"5.8.18", true}, {"4.19.0-27-amd64", true}, {"5.9.0", false}, {"5.10", false}, {"6.1.0-18-amd64", false}, {"strange", false}} {
		if older(tt.release, oldestKernel) != tt.want {
			t.Errorf("%s: want %t", tt.release, tt.want)
		}
	}
}
