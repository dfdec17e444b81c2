//go:build kernel

package filter

import (
	"net/netip"
	"testing"
	"time"

	"github.com/tombolo-net/tombolo/internal/kernel/firewall"
	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// crowd is a node that serves four ports on each of 5,000 clusterset IPs, among 1,000 other nodes.
func crowd() wanted {
	c := base()
	c.Served = nil
	for i := range 5000 {
		for p := range uint16(4) {
			c.Served = append(c.Served, serviceport.Key{Address: netip.AddrFrom4([4]byte{244, 0, byte(i >> 8), byte(i)}), Protocol: serviceport.TCP, Port: 80 + p})
		}
	}
	for i := range 1000 {
		c.Overlay.Nodes = append(c.Overlay.Nodes, netip.AddrFrom4([4]byte{192, 1, byte(i >> 8), byte(i)}))
	}
	return c
}

// BenchmarkLoad writes the table where there is none, and reads it as a new process does.
func BenchmarkLoad(b *testing.B) {
	want := crowd()
	netns.New(b).Do(func() {
		for b.Loop() {
			table := firewall.New(firewall.FilterTable)
			begin := time.Now()
			if _, err := table.Sync(b.Context(), want.table()); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(time.Since(begin).Seconds(), "load-s")
			begin = time.Now()
			if change, err := firewall.New(firewall.FilterTable).Sync(b.Context(), want.table()); err != nil || !change.Empty() {
				b.Fatal(change.Size(), err)
			}
			b.ReportMetric(time.Since(begin).Seconds(), "compare-s")
			if _, err := table.Sync(b.Context(), Table(Input{})); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkChange has a node come and go, a port come and go, and somebody else write to nftables.
func BenchmarkChange(b *testing.B) {
	var elements firewall.Elements[string]
	in := crowd()
	elements.Put("crowd", in.Elements())
	in.Input.Endpoints = elements.Sets()
	base := Table(in.Input)
	other := in.Input
	other.Overlay.Nodes = append(other.Overlay.Nodes, netip.MustParseAddr("192.0.2.99"))
	node := Table(other)
	elements.Put("port", Endpoints{Served: []serviceport.Key{port("244.0.200.1:80", "tcp")}}.Elements())
	in.Input.Endpoints = elements.Sets()
	port := Table(in.Input)
	for _, tt := range []struct {
		name  string
		other firewall.Config
	}{{"Node", node}, {"Port", port}, {"Others", base}} {
		b.Run(tt.name, func(b *testing.B) {
			b.ReportAllocs()
			ns := netns.New(b)
			ns.Run("nft", "add table inet others")
			ns.Do(func() {
				table := firewall.New(firewall.FilterTable)
				if _, err := table.Sync(b.Context(), base); err != nil {
					b.Fatal(err)
				}
				i := 0
				for b.Loop() {
					want := base
					if i++; i%2 == 1 {
						want = tt.other
					}
					if tt.name == "Others" {
						b.StopTimer()
						ns.Run("nft", "add chain inet others c; delete chain inet others c")
						b.StartTimer()
						want = base
					}
					change, err := table.Sync(b.Context(), want)
					if err != nil || change.Empty() != (tt.name == "Others") {
						b.Fatal(change.Size(), err)
					}
					b.ReportMetric(float64(change.Size()), "objects")
				}
			})
		})
	}
}
