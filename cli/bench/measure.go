package bench

import (
	"context"
	"fmt"
	"net"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"github.com/tombolo-net/tombolo/cli/report"
	"github.com/tombolo-net/tombolo/cli/testbed"
	"github.com/tombolo-net/tombolo/internal/echo"
)

// way is from the client of one site to a server of another one, or of the same.
type way struct{ from, to *testbed.Site }

// measure measures every way in each round, one at a time: first inside a cluster, then from there to
// the others.
func (o *options) measure(ctx context.Context, b *testbed.Bed, say func(string)) ([]Result, error) {
	figures := map[way][]echo.Figures{}
	done, all := 0, o.rounds*len(b.Sites)*len(b.Sites)
	for range o.rounds {
		for _, w := range ways(b) {
			say(fmt.Sprintf("%s %s to %s", report.Bar(done, all), w.from.ID, w.to.ID))
			f, err := w.from.Measure(ctx, echo.Task{Server: server(w), Duration: o.duration})
			if err != nil {
				return nil, fmt.Errorf("from cluster %s to cluster %s: %w", w.from.ID, w.to.ID, err)
			}
			figures[w] = append(figures[w], f)
			done++
		}
	}
	var results []Result
	for _, w := range ways(b) {
		if w.from != w.to {
			results = append(results, compare(string(w.from.ID), string(w.to.ID), figures[way{w.from, w.from}], figures[w])...)
		}
	}
	return results, nil
}

// ways are all of them, those of one client after each other, the one inside its cluster first.
func ways(b *testbed.Bed) (all []way) {
	for _, from := range b.Sites {
		all = append(all, way{from, from})
		for _, to := range b.Sites {
			if to != from {
				all = append(all, way{from, to})
			}
		}
	}
	return all
}

// server is the address and port of a server of the way: always the same one, on another node than the
// client if there is one.
func server(w way) string {
	chosen := &w.to.Servers[0]
	for i := range w.to.Servers {
		if s := &w.to.Servers[i]; s.Spec.NodeName != w.from.Client.Spec.NodeName {
			chosen = s
			break
		}
	}
	return net.JoinHostPort(address(chosen, &w.from.Client), strconv.Itoa(testbed.ServerPort))
}

// address is the server's first one of a family that the client has.
func address(server, client *corev1.Pod) string {
	for _, s := range server.Status.PodIPs {
		for _, c := range client.Status.PodIPs {
			if isIPv6(s.IP) == isIPv6(c.IP) {
				return s.IP
			}
		}
	}
	return server.Status.PodIP
}

func isIPv6(ip string) bool { return net.ParseIP(ip).To4() == nil }
