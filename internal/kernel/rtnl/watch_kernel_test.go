//go:build kernel

package rtnl

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// Every kind of change is announced, also by a program that we know nothing of, and none of another
// network namespace.
func TestWatch(t *testing.T) {
	node, other := netns.New(t), netns.New(t)
	touched := make(chan struct{}, 1)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	node.Do(func() {
		watch, err := Subscribe()
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			ended <- watch.Run(ctx, Interest{}, func() {
				select {
				case touched <- struct{}{}:
				default:
				}
			})
		}()
	})
	announced := func(why string) {
		t.Helper()
		select {
		case <-touched:
		case <-time.After(time.Minute):
			t.Fatalf("%s: not announced", why)
		}
		for quiet := false; !quiet; {
			select {
			case <-touched:
			case <-time.After(200 * time.Millisecond):
				quiet = true
			}
		}
	}
	for _, args := range [][]string{
		{"link", "add", "d0", "type", "dummy"}, {"addr", "add", "192.0.2.1/24", "dev", "d0"}, {"link", "set", "d0", "up"},
		{"route", "add", "10.9.0.0/16", "via", "192.0.2.2", "table", "7474"}, {"route", "flush", "table", "7474"},
		{"rule", "add", "pref", "99", "lookup", "7474"}, {"-6", "rule", "add", "pref", "99", "lookup", "7474"},
		{"-6", "route", "add", "fd09::/64", "dev", "d0"}, {"link", "del", "d0"},
	} {
		node.Run("ip", args...)
		announced("ip " + args[len(args)-1])
	}
	other.Run("ip", "link", "add", "d0", "type", "dummy")
	select {
	case <-touched:
		t.Error("a change of another namespace was announced")
	case <-time.After(200 * time.Millisecond):
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("the watch ended with %v", err)
	}
	node.Run("ip", "link", "add", "d1", "type", "dummy")
	select {
	case <-touched:
		t.Error("a change was announced after the end")
	case <-time.After(200 * time.Millisecond):
	}
}

// MTUs are those of the devices that have the addresses.
func TestUnderlayMTU(t *testing.T) {
	node := netns.New(t)
	for _, args := range [][]string{
		{"link", "add", "d0", "mtu", "1400", "type", "dummy"}, {"addr", "add", "192.0.2.1/24", "dev", "d0"},
		{"link", "add", "d1", "mtu", "1300", "type", "dummy"}, {"addr", "add", "fd99::1/64", "dev", "d1"},
	} {
		node.Run("ip", args...)
	}
	tests := []struct {
		name      string
		addresses []string
		want      int
		err       string
	}{
		{"one", []string{"192.0.2.1"}, 1400, ""},
		{"the smallest", []string{"192.0.2.1", "fd99::1"}, 1300, ""},
		{"none", nil, 0, ""},
		{"an address that no device has", []string{"192.0.2.1", "192.0.2.9"}, 0, "192.0.2.9"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			var addresses []netip.Addr
			for _, a := range tc.addresses {
				addresses = append(addresses, netip.MustParseAddr(a))
			}
			node.Do(func() {
				got, err := UnderlayMTU(t.Context(), addresses)
				if got != tc.want || (err != nil) != (tc.err != "") || err != nil && !strings.Contains(err.Error(), tc.err) {
					t.Errorf("%d, %v; want %d, an error that names %q", got, err, tc.want, tc.err)
				}
			})
		})
	}
}

// TestRPFilter: what is set is what /proc/sys says, and only of that device.
func TestRPFilter(t *testing.T) {
	node := netns.New(t)
	for _, name := range []string{"d0", "d1"} {
		node.Run("ip", "link", "add", name, "type", "dummy")
		node.Sysctl("net/ipv4/conf/"+name+"/rp_filter", "0")
	}
	for _, want := range []RPFilter{RPFilterLoose, RPFilterStrict, RPFilterOff} {
		node.Do(func() {
			link, err := netlink.LinkByName("d0")
			if err != nil {
				t.Fatal(err)
			}
			if err := SetRPFilter(link, want); err != nil {
				t.Fatal(err)
			}
			if got, err := ReadRPFilter(link); err != nil || got != want {
				t.Errorf("ReadRPFilter: %d, %v; want %d", got, err, want)
			}
		})
		got := strings.Fields(node.Run("cat", "/proc/sys/net/ipv4/conf/d0/rp_filter", "/proc/sys/net/ipv4/conf/d1/rp_filter"))
		if wanted := []string{fmt.Sprint(want), "0"}; !slices.Equal(got, wanted) {
			t.Errorf("rp_filter of d0 and d1: %v, want %v", got, wanted)
		}
	}
}
