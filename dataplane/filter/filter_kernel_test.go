//go:build kernel

package filter

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tombolo-net/tombolo/internal/kernel/firewall"
	"github.com/tombolo-net/tombolo/internal/kernel/nft"
	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// sync makes the table of a node, and wants a second process to write nothing.
func sync(t *testing.T, node *netns.Namespace, want wanted) {
	t.Helper()
	node.Do(func() {
		if _, err := firewall.New(firewall.FilterTable).Sync(t.Context(), want.table()); err != nil {
			t.Fatalf("Sync: %v", err)
		}
		before, err := nft.Generation()
		if err != nil {
			t.Fatal(err)
		}
		change, err := firewall.New(firewall.FilterTable).Sync(t.Context(), want.table())
		if err != nil || !change.Empty() {
			t.Fatalf("second Sync: %+v, %v", change, err)
		}
		if after, err := nft.Generation(); err != nil || after != before {
			t.Fatalf("the second pass wrote: generation %d, then %d, %v", before, after, err)
		}
	})
}

// elements of a set, as nft tells them.
func elements(t *testing.T, node *netns.Namespace, set string) int {
	t.Helper()
	var listing struct {
		NFTables []struct {
			Set struct{ Elem []any }
		}
	}
	if err := json.Unmarshal([]byte(node.Run("nft", "-j", "list", "set", "inet", firewall.FilterTable, set)), &listing); err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, object := range listing.NFTables {
		count += len(object.Set.Elem)
	}
	return count
}

func TestSyncProgramsTheKernel(t *testing.T) {
	node := netns.New(t)
	node.Run("nft", "add table inet other; add chain inet other c; add rule inet other c accept")
	before := node.Run("nft", "list", "ruleset")
	sync(t, node, base())
	if n := elements(t, node, "served4"); n != 2 {
		t.Errorf("%d IPv4 ports are served, want 2", n)
	}
	other := base()
	other.Served = append(other.Served, port("244.0.0.9:80", "tcp"))
	sync(t, node, other)
	if n := elements(t, node, "served4"); n != 3 {
		t.Errorf("%d IPv4 ports are served, want 3", n)
	}
	sync(t, node, wanted{})
	if diff := cmp.Diff(before, node.Run("nft", "list", "ruleset")); diff != "" {
		t.Errorf("after the clean-up (-before +after)\n%s", diff)
	}
}

// TestNodeComes: a node that comes or goes, and a port, change elements and nothing else: nft lists the
// same handles, and the counters of others go on.
func TestNodeComes(t *testing.T) {
	node := netns.New(t)
	first, more := base(), base()
	more.Overlay.Nodes = append(more.Overlay.Nodes, addresses("192.0.2.4", "fd99::4")...)
	more.Served = append(more.Served, port("244.0.0.9:80", "tcp"))
	node.Run("nft", "add table inet others; add chain inet others c { type filter hook output priority 0; }; add rule inet others c counter")
	sync(t, node, first)
	table := firewall.New(firewall.FilterTable)
	listed, others := listing(node, firewall.FilterTable), listing(node, "others")
	for _, tt := range []struct {
		in    wanted
		nodes int
	}{{more, 5}, {first, 3}, {more, 5}} {
		node.Run("busybox", "ping", "-c", "1", "127.0.0.1")
		node.Do(func() {
			change, err := table.Sync(t.Context(), tt.in.table())
			if err != nil || change.Replace || change.Size() != 3 {
				t.Errorf("%d objects were written (replace %t), %v; want 3", change.Size(), change.Replace, err)
			}
		})
		if n := elements(t, node, "nodes4") + elements(t, node, "nodes6"); n != tt.nodes {
			t.Errorf("nft lists %d nodes, want %d", n, tt.nodes)
		}
		if diff := cmp.Diff(listed, listing(node, firewall.FilterTable)); diff != "" {
			t.Errorf("more than elements changed (-before +after)\n%s", diff)
		}
		after := listing(node, "others")
		if packets(t, after) <= packets(t, others) {
			t.Errorf("others' rules were made again: %s, then %s", others, after)
		}
		others = after
	}
}

var elementsOf = regexp.MustCompile(`elements = \{[^}]*\}\s*`)

// listing is a table with the handles of all that is in it, but without the elements of its sets.
func listing(node *netns.Namespace, table string) string {
	return elementsOf.ReplaceAllString(node.Run("nft", "-a", "list", "table", "inet", table), "")
}

// packets is what the only counter in a listing has counted.
func packets(t *testing.T, listing string) (n int) {
	t.Helper()
	if _, err := fmt.Sscanf(listing[max(0, strings.Index(listing, "packets")):], "packets %d", &n); err != nil {
		t.Fatalf("%s: %v", listing, err)
	}
	return n
}

// otherVersion is the table of a version with other rules and sets, but the same ports.
func otherVersion() firewall.Config {
	cfg := base().table()
	cfg.Sets = slices.DeleteFunc(cfg.Sets, func(s firewall.Set) bool { return !strings.HasPrefix(s.Name, "served") })
	cfg.Sets = append(cfg.Sets, firewall.Set{Name: "forgotten", Type: "ipv4_addr", Keys: firewall.KeysOf([]string{"\x0a\x00\x00\x01"})})
	cfg.Chains = []firewall.Chain{
		{Name: "old", Rules: []string{"ip daddr . meta l4proto . th dport @served4 return", "ip saddr @forgotten return", "meta l4proto tcp reject with tcp reset"}},
		{Name: "output", Type: "filter", Hook: "output", Priority: -105, Rules: []string{"ip daddr 244.0.0.0/16 jump old"}},
	}
	return cfg
}

// TestOtherVersion: the table of another version is taken over without a moment in which a port that
// is served is refused, or another one is not.
func TestOtherVersion(t *testing.T) {
	node := netns.New(t)
	node.Run("ip", "route", "add", "local", "244.0.0.0/16", "dev", "lo", "src", "127.0.0.1", "table", "local")
	node.Serve("listener", 80)
	node.Run("nft", "add table ip services; add chain ip services out { type nat hook output priority -102; }; "+
		"add rule ip services out ip daddr 244.0.0.1 tcp dport 80 dnat to 127.0.0.1")
	sync(t, node, base())
	stop, asked := make(chan struct{}), make(chan [3]int, 1)
	go func() {
		var n [3]int
		for {
			select {
			case <-stop:
				asked <- n
				return
			default:
			}
			n[0]++
			if _, err := node.Ask("tcp", "244.0.0.1:80"); err != nil {
				n[1]++
			}
			if _, err := node.Ask("tcp", "244.0.0.7:80"); !errors.Is(err, syscall.ECONNREFUSED) {
				n[2]++
			}
		}
	}()
	for range 10 {
		node.Do(func() {
			for _, cfg := range []firewall.Config{otherVersion(), base().table()} {
				if change, err := firewall.New(firewall.FilterTable).Sync(t.Context(), cfg); err != nil || !change.Replace {
					t.Errorf("replace %t, %v", change.Replace, err)
				}
			}
		})
	}
	close(stop)
	if n := <-asked; n[0] < 50 || n[1]+n[2] > 0 {
		t.Errorf("of %d questions %d were refused at a port that is served, and %d not at another one", n[0], n[1], n[2])
	}
	sync(t, node, base())
}

// TestSync: elements alone are written where only they differ, and the chains where rules do.
func TestSync(t *testing.T) {
	node := netns.New(t)
	try := func(want wanted, size int, replace bool) {
		t.Helper()
		node.Do(func() {
			change, err := firewall.New(firewall.FilterTable).Sync(t.Context(), want.table())
			if err != nil || change.Size() != size || change.Replace != replace {
				t.Errorf("changed %d objects (replace %t), %v; want %d (%t): %+v", change.Size(), change.Replace, err, size, replace, change)
			}
		})
		sync(t, node, want)
	}
	try(wanted{}, 0, false)
	try(base(), 15, true)

	other := base()
	other.Served = append(other.Served[1:], port("244.0.0.1:443", "tcp"), port("244.0.0.1:80", "tcp"))
	other.Hairpin = other.Hairpin[1:]
	try(other, 3, false)

	other.Remote = prefixes("10.1.0.0/16")
	try(other, 1, true)
	other.Remote = nil
	try(other, 1, true)
	try(wanted{}, 1, true)
	if left := node.Run("nft", "list", "ruleset"); left != "" {
		t.Errorf("left after the clean-up:\n%s", left)
	}
}

func TestDamageIsRepaired(t *testing.T) {
	node := netns.New(t)
	sync(t, node, base())
	want := lines(node.Run("nft", "-s", "list", "ruleset"))
	for _, damage := range []string{
		"delete table inet tombolo", "flush chain inet tombolo keep", "add rule inet tombolo unserved accept",
		"flush set inet tombolo served4", "delete element inet tombolo served4 { 244.0.0.1 . tcp . 80 }",
		"delete element inet tombolo hairpin6 { fd02::5 . fd02::5 }", "add element inet tombolo served6 { fd77::9 . udp . 53 }",
	} {
		node.Run("nft", damage)
		node.Do(func() {
			if change, err := firewall.New(firewall.FilterTable).Sync(t.Context(), base().table()); err != nil || change.Empty() {
				t.Errorf("%s: %+v, %v", damage, change, err)
			}
		})
		if diff := cmp.Diff(want, lines(node.Run("nft", "-s", "list", "ruleset"))); diff != "" {
			t.Errorf("after %q and the repair (-want +got)\n%s", damage, diff)
		}
	}
}

// lines are sorted, since elements have no order.
func lines(dump string) []string { return slices.Sorted(strings.SplitSeq(dump, "\n")) }

// TestTraffic: a node with its own listener on 10250 and a NodePort as kube-proxy makes it, and a
// CNI that masquerades all that leaves; a client on the node and one pod elsewhere.
//
//	pod 10.2.1.5 - node 10.2.1.1 | 192.0.2.1 - remote 10.1.0.5
func TestTraffic(t *testing.T) {
	node, pod, remote := netns.New(t), netns.New(t), netns.New(t)
	node.Join("pod0", "10.2.1.1/24", pod, "eth0", "10.2.1.5/24")
	node.Join("eth0", "192.0.2.1/24", remote, "eth0", "10.1.0.5/32")
	pod.Route("0.0.0.0/0", "10.2.1.1")
	node.Run("ip", "route", "add", "10.1.0.5/32", "dev", "eth0")
	remote.Run("ip", "route", "add", "192.0.2.1/32", "dev", "eth0")
	remote.Route("10.2.0.0/16", "192.0.2.1")
	node.Run("ip", "route", "add", "local", "244.0.0.0/16", "dev", "lo", "src", "192.0.2.1", "table", "local")
	node.Sysctl("net/ipv4/vs/conntrack", "1")
	node.Serve("kubelet", 10250)
	remote.Serve("remote", 8080)
	remote.Serve("like a NodePort", 8181)
	pod.Serve("pod", 8080)
	for _, command := range []string{
		"add table ip cni", "add chain ip cni post { type nat hook postrouting priority srcnat; }",
		"add rule ip cni post ip saddr 10.2.1.0/24 ip daddr != 10.2.1.0/24 masquerade",
		"add chain ip cni ports { type nat hook prerouting priority dstnat; }",
		"add chain ip cni hostports { type nat hook output priority dstnat; }",
		"add rule ip cni ports fib daddr type local tcp dport 30080 dnat to 10.1.0.5:8080",
		"add rule ip cni hostports fib daddr type local tcp dport 30080 dnat to 10.1.0.5:8080",
	} {
		if strings.Contains(command, "hook output") {
			command = strings.Replace(command, "dstnat", "-100", 1)
		}
		node.Run("nft", command)
	}
	for _, tt := range []struct {
		vip     string
		backend string
	}{
		{"244.0.0.1:80", "10.1.0.5:8080"}, {"244.0.0.2:80", "10.2.1.5:8080"}, {"244.0.0.4:30080", "10.1.0.5:8181"},
	} {
		for _, protocol := range []string{"-t", "-u"} {
			node.Run("ipvsadm", "-A", protocol, tt.vip, "-s", "wrr")
			node.Run("ipvsadm", "-a", protocol, tt.vip, "-r", tt.backend, "-m")
		}
	}
	ask := func(from *netns.Namespace, network, address string) string {
		answer, err := from.Ask(network, address)
		// A UDP packet of the node's own fails on its way out.
		if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.EPERM) {
			return "refused"
		}
		if err != nil {
			return err.Error()
		}
		return answer
	}
	// Without the filter: what would go wrong.
	for _, tt := range []struct {
		address string
		want    string
	}{
		{"244.0.0.1:10250", "kubelet 10.2.1.5"}, {"244.0.0.1:30080", "remote 192.0.2.1"}, {"244.0.0.4:30080", "remote 192.0.2.1"}, {"244.0.0.1:80", "remote 192.0.2.1"},
	} {
		if got := ask(pod, "tcp", tt.address); got != tt.want {
			t.Errorf("before: %s answers %q, the test expects %q", tt.address, got, tt.want)
		}
	}

	want := wanted{Input{VIPs: prefixes("244.0.0.0/16"), Own: prefixes("10.2.0.0/18"), Remote: prefixes("10.1.0.0/16")},
		Endpoints{Hairpin: []netip.Addr{netip.MustParseAddr("10.2.1.5")}}}
	for _, protocol := range []string{"tcp", "udp"} {
		want.Served = append(want.Served, port("244.0.0.1:80", protocol), port("244.0.0.2:80", protocol), port("244.0.0.3:80", protocol),
			port("244.0.0.4:30080", protocol))
	}
	sync(t, node, want)
	for _, network := range []string{"tcp", "udp"} {
		for _, tt := range []struct {
			from            *netns.Namespace
			name, to, wants string
		}{
			{pod, "pod", "244.0.0.1:80", "remote 10.2.1.5"},
			{pod, "pod", "10.1.0.5:8080", "remote 10.2.1.5"},
			{node, "node", "244.0.0.1:80", "remote 192.0.2.1"},
			{pod, "pod", "244.0.0.1:10250", "refused"},
			{node, "node", "244.0.0.1:10250", "refused"},
			{pod, "pod", "244.0.200.200:10250", "refused"},
			{pod, "pod", "244.0.0.1:30080", "refused"},
			{pod, "pod", "244.0.0.4:30080", "like a NodePort 10.2.1.5"}, // a NodePort has the same number
			{node, "node", "244.0.0.4:30080", "like a NodePort 192.0.2.1"},
			{pod, "pod", "244.0.0.3:80", "refused"}, // served, but its virtual service is gone
			{node, "node", "244.0.0.3:80", "refused"},
			{pod, "pod", "10.2.1.1:10250", "kubelet 10.2.1.5"},
		} {
			if got := ask(tt.from, network, tt.to); got != tt.wants {
				t.Errorf("%s from %s to %s: %q, want %q", network, tt.name, tt.to, got, tt.wants)
			}
		}
	}
	// Last: the kernel sends a redirect here, and after one it sends no ICMP error to that host for a
	// second.
	for _, network := range []string{"tcp", "udp"} {
		if got := ask(pod, network, "244.0.0.2:80"); got != "pod 10.2.1.1" {
			t.Errorf("%s from a pod to itself: %q", network, got)
		}
	}
	if got := ask(pod, "tcp", "192.0.2.1:30080"); got != "remote 192.0.2.1" && got != "remote 10.2.1.5" {
		t.Errorf("the NodePort itself: %q", got)
	}
	if out := pod.Run("busybox", "ping", "-c", "1", "-W", "1", "244.0.0.1"); !strings.Contains(out, "1 packets received") {
		t.Errorf("ping: %s", out)
	}
}

// TestTouched: others' transactions cost no write, and every change of ours by others is found.
func TestTouched(t *testing.T) {
	node := netns.New(t)
	table := firewall.New(firewall.FilterTable)
	sync := func(want wanted, size int) {
		t.Helper()
		node.Do(func() {
			change, err := table.Sync(t.Context(), want.table())
			if err != nil || change.Size() != size {
				t.Errorf("Sync: %d objects, %v; want %d", change.Size(), err, size)
			}
		})
	}
	touched := func(want bool) {
		t.Helper()
		node.Do(func() {
			if got := table.Touched(); got != want {
				t.Errorf("Touched is %t, want %t", got, want)
			}
		})
	}
	touched(true)
	sync(base(), 15)
	touched(false)
	sync(base(), 0)
	more := base()
	more.Served = append(more.Served, port("244.0.0.9:80", "tcp"))
	sync(more, 1)
	touched(false)
	node.Run("nft", "add table inet other; add chain inet other c; add rule inet other c accept")
	touched(true) // somebody wrote
	sync(more, 0)
	touched(false)
	sync(base(), 1)
	for _, damage := range []string{
		"add rule inet tombolo unserved accept", "flush chain inet tombolo keep", "delete element inet tombolo served4 { 244.0.0.1 . tcp . 80 }",
		"add element inet tombolo served4 { 244.0.7.1 . tcp . 80 }", "flush set inet tombolo hairpin6", "delete table inet tombolo",
	} {
		node.Run("nft", damage)
		touched(true)
		node.Run("nft", "add rule inet other c accept") // somebody else writes as well
		node.Do(func() {
			if change, err := table.Sync(t.Context(), base().table()); err != nil || change.Empty() {
				t.Errorf("%s: %+v, %v", damage, change, err)
			}
		})
		touched(false)
		sync(base(), 0)
	}
	// A change while the table is damaged mends both.
	node.Run("nft", "flush set inet tombolo hairpin4")
	sync(more, 2)
}
