//go:build kernel

package conntrack

import (
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/tombolo-net/tombolo/dataplane/nftables"
	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// TestDelete: two UDP clients' sockets that go on sending by way of two clusterset IPs to one
// endpoint. When that goes from both services, only the flow that is deleted moves on.
func TestDelete(t *testing.T) {
	node, client := netns.New(t), netns.New(t)
	node.Join("pod0", "10.2.0.1/24", client, "eth0", "10.2.0.5/24")
	node.Address("pod0", "fd02::1/64")
	client.Address("eth0", "fd02::5/64")
	client.Route("0.0.0.0/0", "10.2.0.1")
	client.Route("::/0", "fd02::1")
	node.Run("ip", "route", "add", "local", "244.0.0.0/16", "dev", "lo")
	node.Run("ip", "-6", "route", "add", "local", "fd77::/112", "dev", "lo")
	for _, pod := range []struct{ name, device, four, six string }{{"one", "pod1", "10.1.1", "fd01:1:"}, {"two", "pod2", "10.1.2", "fd01:2:"}} {
		n := netns.New(t)
		node.Join(pod.device, pod.four+".1/24", n, "eth0", pod.four+".5/24")
		node.Address(pod.device, pod.six+":1/64")
		n.Address("eth0", pod.six+":5/64")
		n.Route("0.0.0.0/0", pod.four+".1")
		n.Route("::/0", pod.six+":1")
		n.Serve(pod.name, 8080)
	}
	var table nftables.Table
	serve := func(four, six string) {
		t.Helper()
		want := nftables.Config{Services: map[nftables.Key]nftables.Service{}}
		for _, tt := range []struct {
			vip      string
			endpoint string
		}{{"244.0.0.1", four}, {"244.0.0.2", four}, {"fd77::1", six}, {"fd77::2", six}} {
			key := nftables.Key{Address: netip.MustParseAddr(tt.vip), Protocol: serviceport.UDP, Port: 53}
			want.Services[key] = nftables.Service{Destinations: []nftables.Destination{{Address: netip.MustParseAddr(tt.endpoint), Port: 8080, Weight: 1}}}
		}
		node.Do(func() {
			if _, err := table.Sync(t.Context(), want); err != nil {
				t.Fatal(err)
			}
		})
	}
	serve("10.1.1.5", "fd01:1::5")
	sockets := map[string]net.Conn{}
	expect := func(want map[string]string) {
		t.Helper()
		for vip, endpoint := range want {
			if got := netns.Exchange(t, sockets[vip]); !strings.HasPrefix(got, endpoint+" ") {
				t.Errorf("%s is answered by %q, want %s", vip, got, endpoint)
			}
		}
	}
	client.Do(func() {
		for _, vip := range []string{"244.0.0.1", "244.0.0.2", "fd77::1", "fd77::2"} {
			conn, err := net.Dial("udp", net.JoinHostPort(vip, "53"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			sockets[vip] = conn
		}
	})
	expect(map[string]string{"244.0.0.1": "one", "244.0.0.2": "one", "fd77::1": "one", "fd77::2": "one"})
	serve("10.1.2.5", "fd01:2::5")
	expect(map[string]string{"244.0.0.1": "one", "244.0.0.2": "one", "fd77::1": "one", "fd77::2": "one"})
	remove := func(flows []Flow, want int) {
		t.Helper()
		node.Do(func() {
			if n, err := Delete(t.Context(), flows); n != want || err != nil {
				t.Errorf("Delete of %v: %d, %v; want %d", flows, n, err, want)
			}
		})
	}
	remove(nil, 0)
	remove([]Flow{flow("244.0.0.1:53", "10.1.2.5:8080"), flow("244.0.0.9:53", "10.1.1.5:8080")}, 0)
	remove([]Flow{flow("244.0.0.1:53", "10.1.1.5:8080"), flow("[fd77::1]:53", "[fd01:1::5]:8080")}, 2)
	expect(map[string]string{"244.0.0.1": "two", "244.0.0.2": "one", "fd77::1": "two", "fd77::2": "one"})
	remove([]Flow{flow("244.0.0.1:53", "10.1.1.5:8080"), flow("[fd77::1]:53", "[fd01:1::5]:8080")}, 0)
}
