package conntrack

import (
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
)

// FuzzMatch: whatever entry the library makes of what the kernel tells, it is looked at without a
// panic, and matches only if all of it is the flow's.
func FuzzMatch(f *testing.F) {
	f.Add([]byte{244, 0, 0, 1}, []byte{10, 1, 0, 5}, uint8(17), uint16(53), uint16(5353))
	f.Add(netip.MustParseAddr("::ffff:244.0.0.1").AsSlice(), []byte(nil), uint8(6), uint16(0), uint16(0))
	f.Add([]byte{1, 2, 3}, []byte{}, uint8(255), uint16(1), uint16(2))
	f.Fuzz(func(t *testing.T, destination, source []byte, protocol uint8, port, endpointPort uint16) {
		w := wanted{flow("244.0.0.1:53", "10.1.0.5:5353"): true, flow("[fd77::1]:53", "[fd01::5]:5353"): true}
		entry := &netlink.ConntrackFlow{
			Forward: netlink.IPTuple{DstIP: destination, DstPort: port, Protocol: protocol},
			Reverse: netlink.IPTuple{SrcIP: source, SrcPort: endpointPort},
		}
		if !w.MatchConntrackFlow(entry) {
			return
		}
		vip, _ := netip.AddrFromSlice(destination)
		endpoint, _ := netip.AddrFromSlice(source)
		four := vip.Unmap() == netip.AddrFrom4([4]byte{244, 0, 0, 1}) && endpoint.Unmap() == netip.AddrFrom4([4]byte{10, 1, 0, 5})
		six := vip == netip.MustParseAddr("fd77::1") && endpoint == netip.MustParseAddr("fd01::5")
		if !four && !six || protocol != 17 || port != 53 || endpointPort != 5353 {
			t.Errorf("%v matches", entry)
		}
	})
}
