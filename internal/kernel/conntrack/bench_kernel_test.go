//go:build kernel

package conntrack

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// BenchmarkDelete looks for the flows to a UDP endpoint that has gone, as the agent does, among
// 50,000 flows of a node. All are to one port, of one service or of 1,000. The kernel compares
// addresses of IPv4 itself. Of IPv6 it tells of all flows to the port.
func BenchmarkDelete(b *testing.B) {
	const flows = 50_000
	for _, family := range []struct{ name, client, service, endpoint string }{
		{"IPv4", "10.2.%d.%d", "244.0.%d.%d", "10.1.0.5"},
		{"IPv6", "fd02::%x:%x", "fd77::%x:%x", "fd01::5"},
	} {
		for _, services := range []int{1, 1000} {
			b.Run(fmt.Sprintf("%s/services=%d", family.name, services), func(b *testing.B) {
				node := netns.New(b)
				var entries strings.Builder
				for i := range flows {
					s, c := i%services, i%10_000
					client := fmt.Sprintf(family.client, c/250, c%250)
					service := fmt.Sprintf(family.service, s/250, s%250)
					fmt.Fprintf(&entries, "-I -p udp -s %s -d %s --sport %d --dport 53 -r %s -q %s --reply-port-src 53 --reply-port-dst %d -t 1000 -u SEEN_REPLY\n",
						client, service, 1000+i/10_000, family.endpoint, client, 1000+i/10_000)
				}
				file := filepath.Join(b.TempDir(), "entries")
				if err := os.WriteFile(file, []byte(entries.String()), 0o600); err != nil {
					b.Fatal(err)
				}
				node.Run("conntrack", "--load-file", file)
				if got := strings.TrimSpace(node.Run("conntrack", "--count")); got != fmt.Sprint(flows) {
					b.Fatalf("%s flows are there", got)
				}
				gone := netip.MustParseAddr(fmt.Sprintf(family.service, 0, 0))
				wanted := []Flow{flow(netip.AddrPortFrom(gone, 53).String(), "192.0.2.1:53")}
				node.Do(func() {
					for b.Loop() {
						if n, err := Delete(b.Context(), wanted); n != 0 || err != nil {
							b.Fatalf("%d deleted: %v", n, err)
						}
					}
				})
			})
		}
	}
}
