//go:build kernel

package ingress

import (
	"encoding/json"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/tombolo-net/tombolo/internal/kernel/firewall"
	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// BenchmarkLoad writes the filter of 100,000 exported and as many imported endpoints into an empty
// table.
func BenchmarkLoad(b *testing.B) {
	c := newCrowd()
	netns.New(b).Do(func() {
		for b.Loop() {
			filter := New(nil)
			begin := time.Now()
			want := c.anew()
			b.ReportMetric(time.Since(begin).Seconds(), "plan-s")
			if _, err := filter.Sync(b.Context(), want); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(time.Since(begin).Seconds(), "load-s")
			begin = time.Now()
			if change, err := New(nil).Sync(b.Context(), want); err != nil || !change.Empty() {
				b.Fatal(change, err)
			}
			b.ReportMetric(time.Since(begin).Seconds(), "compare-s")
			if _, err := filter.Sync(b.Context(), firewall.Config{}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkChange changes one of 100,000 exported endpoints, the plan included.
func BenchmarkChange(b *testing.B) {
	c := newCrowd()
	netns.New(b).Do(func() {
		filter := New(nil)
		if _, err := filter.Sync(b.Context(), c.anew()); err != nil {
			b.Fatal(err)
		}
		changes := 0
		var write time.Duration
		for b.Loop() {
			changes++
			want := c.change()
			begin := time.Now()
			if change, err := filter.Sync(b.Context(), want); err != nil || change.Replace || change.Size() != 2 {
				b.Fatal(change.Replace, change.Size(), err)
			}
			write += time.Since(begin)
		}
		b.ReportMetric(write.Seconds()*1e3/float64(changes), "write-ms")
	})
}

// BenchmarkForward measures what the filter of 100,000 endpoints costs: TCP, packets of 64 bytes of
// UDP, and requests over connections of their own from east to the pod, with and without it, in turn.
func BenchmarkForward(b *testing.B) {
	s := newSite(b)
	c := newCrowd()
	for i, p := range []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP} {
		c.slices = append(c.slices, exportedSlice(1000+i, p, 5201, "10.2.1.5"))
	}
	c.slices = append(c.slices, exportedSlice(1002, corev1.ProtocolTCP, 8080, "10.2.1.5"))
	tables := [2]firewall.Config{{}, c.anew()}
	s.pod.Start("iperf3", "--server")
	for range 100 { // until it listens
		if s.pod.Run("ss", "-Hltn", "sport = :5201") != "" {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	filter := New(nil)
	sums := map[string]*[2]float64{"tcp": {}, "udp": {}, "requests": {}}
	for b.Loop() {
		for with, table := range tables {
			s.gateway.Do(func() {
				if _, err := filter.Sync(b.Context(), table); err != nil {
					b.Fatal(err)
				}
			})
			sums["requests"][with] += s.requests(b)
			sums["tcp"][with] += s.iperf(b)
			sums["udp"][with] += s.iperf(b, "--udp", "--bitrate", "0", "--length", "64")
		}
	}
	for name, sum := range sums {
		b.ReportMetric(sum[1]/sum[0], name+"-ratio")
	}
}

// iperf returns how many bits a second the pod has received.
func (s site) iperf(b *testing.B, args ...string) float64 {
	out := s.east.Run("iperf3", append([]string{"--client", "10.2.1.5", "--time", "3", "--json"}, args...)...)
	var result struct {
		End struct {
			Received struct {
				Bits float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		}
	}
	if err := json.Unmarshal([]byte(out), &result); err != nil || result.End.Received.Bits == 0 {
		b.Fatalf("iperf3 says %q: %v", out, err)
	}
	return result.End.Received.Bits
}

// requests returns how many requests a second the pod answers, of some hundreds one after the other: the
// connections of many thousands, which have ended and wait, would be in the way.
func (s site) requests(b *testing.B) float64 {
	const asked = 500
	begin := time.Now()
	for range asked {
		if _, err := s.east.Ask("tcp", "10.2.1.5:8080"); err != nil {
			b.Fatal(err)
		}
	}
	return asked / time.Since(begin).Seconds()
}
