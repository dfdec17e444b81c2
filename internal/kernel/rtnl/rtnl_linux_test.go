package rtnl

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func TestDump(t *testing.T) {
	other := errors.New("other")
	tests := []struct {
		name  string
		errs  []error // of each listing in turn, the last one for ever
		want  error
		calls int
	}{
		{"at once", []error{nil}, nil, 1},
		{"interrupted twice", []error{netlink.ErrDumpInterrupted, unix.EINTR, nil}, nil, 3},
		{"interrupted for ever", []error{netlink.ErrDumpInterrupted}, netlink.ErrDumpInterrupted, dumpAttempts},
		{"another error", []error{other, nil}, other, 1},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			calls := 0
			list, err := Dump(t.Context(), "links", func() ([]int, error) {
				calls++
				return []int{calls}, tc.errs[min(calls, len(tc.errs))-1]
			})
			if !errors.Is(err, tc.want) || calls != tc.calls {
				t.Errorf("error %v after %d listings, want %v after %d", err, calls, tc.want, tc.calls)
			}
			if err == nil && (len(list) != 1 || list[0] != calls) {
				t.Errorf("list is %v, want that of the last listing", list)
			}
			if err != nil && (list != nil || !strings.HasPrefix(err.Error(), "listing links: ")) {
				t.Errorf("list %v, error %v", list, err)
			}
		})
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Dump(ended, "links", func() ([]int, error) { t.Error("listed"); return nil, nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
}

func TestAddresses(t *testing.T) {
	for _, s := range []string{"10.1.0.0/16", "192.0.2.1/32", "0.0.0.0/0", "fd00::/48", "::/0", "fe80::1/128"} {
		p := netip.MustParsePrefix(s)
		n := IPNet(p)
		if n.String() != s {
			t.Errorf("%s becomes %s", s, n)
		}
		if got := Prefix(n); got != p {
			t.Errorf("%s comes back as %s", s, got)
		}
		if is4 := Family(p.Addr()) == unix.AF_INET; is4 != p.Addr().Is4() {
			t.Errorf("%s has family %d", s, Family(p.Addr()))
		}
	}
	if Prefix(nil).IsValid() || Addr(nil).IsValid() {
		t.Error("what is not there is valid")
	}
	if got, want := Addr(net.ParseIP("192.0.2.1")), netip.MustParseAddr("192.0.2.1"); got != want {
		t.Errorf("an IPv4 address of 16 bytes is %s, want %s", got, want)
	}
}

type item string

func (i item) String() string { return string(i) }

func TestEach(t *testing.T) {
	broken := errors.New("broken")
	var tried Attempts
	done := Each(t.Context(), &tried, "setting", []item{"a", "b", "c"}, func(i item) error {
		if i == "b" {
			return broken
		}
		return nil
	})
	if got := fmt.Sprint(done); got != "[a c]" {
		t.Errorf("done: %s", got)
	}
	if err := tried.Err(); !errors.Is(err, broken) || err.Error() != "setting b: broken" {
		t.Errorf("error: %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if done := Each(ended, &tried, "deleting", []item{"d"}, func(item) error { return nil }); done != nil {
		t.Errorf("after the end: %v", done)
	}
	if !errors.Is(tried.Err(), context.Canceled) {
		t.Errorf("error: %v", tried.Err())
	}
}
