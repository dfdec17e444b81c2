//go:build kernel

package agent

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/tombolo-net/tombolo/gateway/keyfile"
	"github.com/tombolo-net/tombolo/gateway/wireguard"
	"github.com/tombolo-net/tombolo/internal/kernel/firewall"
	"github.com/tombolo-net/tombolo/internal/kernel/route"
	"github.com/tombolo-net/tombolo/internal/kernel/vxlan"
	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// TestCleanupWhileOthersDo: what another process removes meanwhile, as an agent that leaves, is no
// reason to fail.
func TestCleanupWhileOthersDo(t *testing.T) {
	ns := netns.New(t)
	ns.Run("ip", "link", "add", "eth0", "type", "dummy")
	ns.Run("ip", "link", "set", "eth0", "up")
	ns.Run("nft", "add table ip filter; add chain ip filter INPUT { type filter hook input priority 0; policy accept; }; "+
		"add chain ip filter FORWARD { type filter hook forward priority 0; policy accept; }")
	device := wireguard.Device{Name: wireguard.DeviceName(0), PrivateKey: wireguard.PrivateKey{1}, MTU: 1420}
	handover := vxlan.Config{Devices: []vxlan.Device{
		{Name: vxlan.HandoverName, ID: 7, Port: 7475, Local: netip.MustParseAddr("192.0.2.1"), MTU: 1400, MAC: vxlan.MAC{2, 0, 0, 0, 0, 1}},
	}}
	routes := route.Config{Routes: []route.Route{{
		Key:  route.Key{Table: 7473, Destination: netip.MustParsePrefix("10.9.0.0/16"), Metric: route.MetricUnicast},
		Type: route.Unicast, Hops: []route.NextHop{{Link: "eth0"}},
	}}}
	passages := []firewall.Passage{
		{Name: "in", What: "packets", Hook: "input", In: "tombolo", Ports: []uint16{51820, 51821, 51822}, Admit: firewall.AdmitFirst},
		{Name: "through", What: "packets", Hook: "forward", In: "tombolo", Admit: firewall.AdmitFirst},
	}
	for range 20 {
		ns.Do(func() {
			k := NewKernel()
			_, errTunnels := k.Tunnels.Sync(t.Context(), wireguard.Config{Devices: []wireguard.Device{device}})
			_, errHandover := k.Handover.Apply(t.Context(), vxlan.Diff(vxlan.Config{}, handover))
			_, errRoutes := k.Routes.Apply(t.Context(), route.Diff(route.Config{}, routes))
			_, errTable := k.Table.Sync(t.Context(), firewall.Config{Passages: passages})
			if err := errors.Join(errTunnels, errHandover, errRoutes, errTable); err != nil {
				t.Fatal(err)
			}
		})
		ns.Twice(func() error { return Cleanup(t.Context(), NewKernel(), keyfile.At(t.TempDir()+"/key")) })
	}
}
