//go:build kernel

package nftables

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// large is a Config of so many services with so many endpoints each.
func large(services, endpoints int) Config {
	c := Config{Services: make(map[Key]Service, services)}
	for i := range services {
		var s Service
		for j := range endpoints {
			s.Destinations = append(s.Destinations, Destination{
				Address: netip.AddrFrom4([4]byte{10, byte(1 + i>>8), byte(i), byte(j)}), Port: 8080, Weight: 1})
		}
		c.Services[Key{Address: netip.AddrFrom4([4]byte{244, 0, byte(i >> 8), byte(i)}), Protocol: serviceport.TCP, Port: 80}] = s
	}
	return c
}

// BenchmarkLoad programs 5,000 services of 16 endpoints into an empty table.
func BenchmarkLoad(b *testing.B) {
	node := netns.New(b)
	want := large(5000, 16)
	node.Do(func() {
		for b.Loop() {
			var table Table
			begin := time.Now()
			change, err := table.Sync(b.Context(), want)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(time.Since(begin).Seconds(), "load-s")
			b.ReportMetric(float64(change.Size()), "objects")
			begin = time.Now()
			if again, err := table.Sync(b.Context(), want); err != nil || !again.Empty() {
				b.Fatal(again.Size(), err)
			}
			b.ReportMetric(time.Since(begin).Seconds()*1e3, "sync-unchanged-ms")
			table.seen.Forget()
			begin = time.Now()
			if table.Touched() {
				b.Fatal("touched")
			}
			b.ReportMetric(time.Since(begin).Seconds()*1e3, "touched-after-others-ms")
			if _, err := table.Sync(b.Context(), Config{}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkChange changes one of 5,000 services of 16 endpoints: an endpoint goes, and comes again.
func BenchmarkChange(b *testing.B) {
	for _, tt := range []struct {
		name string
		edit func(*Service)
	}{
		{"Endpoint", func(s *Service) { s.Destinations[15].Address = s.Destinations[15].Address.Next() }},
		{"Size", func(s *Service) { s.Destinations = s.Destinations[:15] }},
	} {
		b.Run(tt.name, func(b *testing.B) {
			node := netns.New(b)
			want := large(5000, 16)
			changed := web
			original := want.Services[changed]
			other := Service{Destinations: append([]Destination(nil), original.Destinations...)}
			tt.edit(&other)
			node.Do(func() {
				var table Table
				if _, err := table.Sync(b.Context(), want); err != nil {
					b.Fatal(err)
				}
				i := 0
				for b.Loop() {
					want.Services[changed] = original
					if i++; i%2 == 1 {
						want.Services[changed] = other
					}
					if change, err := table.Update(b.Context(), want, []Key{changed}); err != nil || change.Empty() {
						b.Fatal(change, err)
					}
				}
				if table.Touched() {
					b.Error("Touched after Update")
				}
			})
		})
	}
}

// TestManyEndpoints: 100,000 endpoints in 5,000 services load and are right.
func TestManyEndpoints(t *testing.T) {
	node := netns.New(t)
	want := large(5000, 20)
	node.Do(func() {
		var table Table
		begin := time.Now()
		if _, err := table.Sync(t.Context(), want); err != nil {
			t.Fatal(err)
		}
		t.Log("loaded in", time.Since(begin))
		have, err := table.Read(t.Context())
		if diff := cmp.Diff(stateOf(want), have, compareAddresses); err != nil || diff != "" {
			t.Fatalf("Read: %v, (-want +got)\n%.2000s", err, diff)
		}
	})
	got := node.Run("nft", "get", "element", "inet", TableName, "slots4", "{ 244.0.19.135 . tcp . 80 . 19 }")
	last := key("244.0.19.135:80", "tcp")
	want4999 := want.Services[last].slots(last)[19]
	if !strings.Contains(got, fmt.Sprintf("244.0.19.135 . tcp . 80 . 19 : %s . 8080", want4999.Addr())) {
		t.Errorf("the last slot: %s, want %s", got, want4999)
	}
}
