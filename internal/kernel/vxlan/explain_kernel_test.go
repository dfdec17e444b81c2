//go:build kernel

package vxlan

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tombolo-net/tombolo/internal/kernel/route"
	"github.com/tombolo-net/tombolo/internal/kernel/rtnl"
	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// TestKernelsOwnWords: what the kernel refuses, it explains, and the error's number stays.
func TestKernelsOwnWords(t *testing.T) {
	rtnl.ExplainErrors()
	ns := netns.New(t)
	ns.Run("ip", "link", "add", "other", "type", "vxlan", "id", "7", "dstport", "7")
	ns.Run("ip", "link", "add", "dummy0", "up", "type", "dummy")
	ns.SetIPv6(false, "dummy0")
	device := Device{Name: Name, ID: 7, Port: 7, Local: netip.MustParseAddr("192.0.2.1"), MTU: 1450, MAC: MAC{2}}
	neighbour := Neighbour{Device: "dummy0", Address: netip.MustParseAddr("fe80::1")}
	hop := route.NextHop{Link: "dummy0", Gateway: netip.MustParseAddr("192.0.2.7")}
	unreachable := route.Config{Routes: []route.Route{{Key: route.Key{Table: route.TableRemote, Destination: netip.MustParsePrefix("10.1.0.0/16")},
		Type: route.Unicast, Hops: []route.NextHop{hop}}}}
	for _, tt := range []struct {
		name   string
		do     func() error
		number unix.Errno
		words  string
	}{
		{"link", func() error { _, err := Apply(t.Context(), Change{AddDevices: []Device{device}}); return err },
			unix.EEXIST, "adding device tombolo-vx: file exists: A VXLAN device with the specified VNI already exists"},
		{"neighbour", func() error { _, err := Apply(t.Context(), Change{SetNeighbours: []Neighbour{neighbour}}); return err },
			unix.EINVAL, "setting neighbour fe80::1: invalid argument: IPv6 is disabled on this device"},
		{"route", func() error { _, err := route.DataplaneOwner().Sync(t.Context(), unreachable); return err },
			unix.ENETUNREACH, "setting route to 10.1.0.0/16 in table 7474: network is unreachable: Nexthop has invalid gateway"},
		{"rule", func() error {
			_, err := route.DataplaneOwner().Apply(t.Context(), route.Change{DeleteRules: []route.Rule{{Priority: 7474, Table: 7474, IIF: strings.Repeat("x", 20)}}})
			return err
		}, unix.ERANGE, "deleting rule 7474 from all iif " + strings.Repeat("x", 20) + ": numerical result out of range: "},
	} {
		var err error
		ns.Do(func() { err = tt.do() })
		if err == nil || !errors.Is(err, tt.number) || !strings.Contains(err.Error(), tt.words) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.words)
		}
	}
	ns.Do(func() {
		if have, err := Read(t.Context(), "absent"); err != nil || len(have.Devices) != 0 {
			t.Errorf("reading a device that is not there: %v, %v", have, err)
		}
	})
}
