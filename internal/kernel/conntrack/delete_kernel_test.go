//go:build kernel

package conntrack

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
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
	// More ports than are asked for one by one.
	many := []Flow{flow("244.0.0.2:53", "10.1.1.5:8080"), flow("[fd77::2]:53", "[fd01:1::5]:8080")}
	for port := range fewKeys {
		many = append(many, flow(fmt.Sprintf("244.0.0.1:%d", 1000+port), "10.1.1.5:8080"))
	}
	remove(many, 2)
	expect(map[string]string{"244.0.0.2": "two", "fd77::2": "two"})
}

// TestDeleteStale: of the flows to services only those go that nothing has answered and that have a
// wrong source or no endpoint, and those of UDP to other endpoints than are kept.
func TestDeleteStale(t *testing.T) {
	node := netns.New(t)
	for _, entry := range []string{
		"-p udp -s 10.2.0.5 -d 244.0.0.1 --sport 4001 --dport 53 -r 10.1.0.5 -q 10.2.0.5 --reply-port-src 53 -t 100 -u SEEN_REPLY",
		"-p udp -s 10.2.0.5 -d 244.0.0.1 --sport 4002 --dport 53 -r 10.1.0.6 -q 10.2.0.5 --reply-port-src 53 -t 100 -u SEEN_REPLY", // gone
		"-p udp -s 10.2.0.5 -d 244.0.0.1 --sport 4003 --dport 53 -r 10.1.0.5 -q 192.0.2.1 --reply-port-src 53 -t 100",              // not answered
		"-p udp -s 10.2.0.5 -d 244.0.0.1 --sport 4004 --dport 53 -t 100 -u SEEN_REPLY",                                             // by the node itself
		"-p tcp -s 10.2.0.5 -d 244.0.0.1 --sport 4005 --dport 80 -r 10.1.0.6 -q 10.2.0.5 --reply-port-src 80 -t 100 -u SEEN_REPLY --state ESTABLISHED",
		"-p tcp -s 10.2.0.5 -d 244.0.0.1 --sport 4006 --dport 80 -t 100 --state SYN_SENT",                            // not answered
		"-p udp -s 10.2.0.5 -d 10.1.0.5 --sport 4007 --dport 53 -r 10.1.0.5 -q 192.0.2.9 --reply-port-src 53 -t 100", // not answered
		"-p udp -s 10.2.0.5 -d 10.1.0.5 --sport 4008 --dport 53 -t 100 -u SEEN_REPLY",
		"-p udp -s 10.2.0.5 -d 198.51.100.1 --sport 4009 --dport 53 -t 100",
	} {
		node.Run("conntrack", append([]string{"-I"}, strings.Fields(entry)...)...)
	}
	stale := Stale{Unanswered: true, Own: []netip.Prefix{netip.MustParsePrefix("10.2.0.0/16")}, Services: []netip.Prefix{netip.MustParsePrefix("244.0.0.0/16")}, Remote: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")},
		Keep: func(f Flow) bool { return f == flow("244.0.0.1:53", "10.1.0.5:53") }}
	node.Do(func() {
		if n, err := DeleteStale(t.Context(), stale); n != 5 || err != nil {
			t.Errorf("%d, %v; want 5", n, err)
		}
	})
	var left []string
	for _, word := range strings.Fields(node.Run("conntrack", "-L")) {
		if port, ok := strings.CutPrefix(word, "sport=400"); ok {
			left = append(left, port)
		}
	}
	slices.Sort(left)
	if got, want := strings.Join(left, " "), "1 5 8 9"; got != want {
		t.Errorf("left: %s, want %s", got, want)
	}
	node.Do(func() {
		if n, err := DeleteInside(t.Context(), stale.Services); n != 2 || err != nil {
			t.Errorf("%d, %v; want 2", n, err)
		}
	})
}
