//go:build kernel

package filter

import (
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tombolo-net/tombolo/internal/kernel/nft"
	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
	"github.com/tombolo-net/tombolo/test/harness/netns"
)

func sync(t *testing.T, node *netns.Namespace, want Config) {
	t.Helper()
	node.Do(func() {
		var table Table
		if _, err := table.Sync(t.Context(), want); err != nil {
			t.Fatalf("Sync: %v", err)
		}
		before, err := nft.Generation()
		if err != nil {
			t.Fatal(err)
		}
		change, err := table.Sync(t.Context(), want)
		if err != nil || !change.Empty() {
			t.Fatalf("second Sync: %+v, %v", change, err)
		}
		have, err := table.Read(t.Context())
		have.Served, have.Hairpin = unique(have.Served, serviceport.Key.Compare), unique(have.Hairpin, netip.Addr.Compare)
		if diff := cmp.Diff(stateOf(want), have, compareAddresses); err != nil || diff != "" {
			t.Fatalf("Read: %v, (-want +got)\n%s", err, diff)
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
	if err := json.Unmarshal([]byte(node.Run("nft", "-j", "list", "set", "inet", TableName, set)), &listing); err != nil {
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
	node.Run("nft", "delete rule inet tombolo keep handle "+lastHandle(t, node, "keep"))
	node.Do(func() {
		if change, err := new(Table).Sync(t.Context(), other); err != nil || !change.Replace {
			t.Errorf("a rule is gone: %+v, %v", change, err)
		}
	})
	sync(t, node, other)
	sync(t, node, Config{})
	if diff := cmp.Diff(before, node.Run("nft", "list", "ruleset")); diff != "" {
		t.Errorf("after the clean-up (-before +after)\n%s", diff)
	}
}

// TestSync: elements alone are written where only they differ, and the table anew where its rules
// do.
func TestSync(t *testing.T) {
	node := netns.New(t)
	try := func(want Config, size int, replace bool) {
		t.Helper()
		node.Do(func() {
			var table Table
			change, err := table.Sync(t.Context(), want)
			if err != nil || change.Size() != size || change.Replace != replace {
				t.Errorf("changed %d objects (replace %t), %v; want %d (%t): %+v", change.Size(), change.Replace, err, size, replace, change)
			}
		})
		sync(t, node, want)
	}
	try(Config{}, 0, false)
	try(base(), 6, true)

	other := base()
	other.Served = append(other.Served[1:], port("244.0.0.1:443", "tcp"), port("244.0.0.1:80", "tcp"))
	other.Hairpin = other.Hairpin[1:]
	try(other, 3, false)

	other.Remote = prefixes("10.1.0.0/16")
	try(other, 6, true)
	other.Remote = nil
	try(other, 6, true)
	try(Config{}, 1, true)
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
			if change, err := new(Table).Sync(t.Context(), base()); err != nil || change.Empty() {
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

// A container has no /etc/protocols: nft then prints the protocols of elements as numbers.
func TestSyncWithoutProtocolNames(t *testing.T) {
	const file = "/etc/protocols"
	if _, err := os.Stat(file); err == nil {
		if err := os.Rename(file, file+".away"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.Rename(file+".away", file) })
	}
	node := netns.New(t)
	sync(t, node, base())
	if n := elements(t, node, "served4"); n != 2 {
		t.Errorf("%d IPv4 ports are served, want 2", n)
	}
}

func lastHandle(t *testing.T, node *netns.Namespace, chain string) string {
	t.Helper()
	out := node.Run("nft", "-a", "list", "chain", "inet", TableName, chain)
	_, handle, ok := strings.Cut(out[strings.LastIndex(out, "# handle"):], "# handle ")
	if !ok {
		t.Fatalf("no handle in %s", out)
	}
	return strings.Fields(handle)[0]
}

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

	want := Config{VIPs: prefixes("244.0.0.0/16"), Own: prefixes("10.2.0.0/18"), Remote: prefixes("10.1.0.0/16"),
		Hairpin: []netip.Addr{netip.MustParseAddr("10.2.1.5")}}
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

// TestUpdate: others' transactions cost no run of nft and no write, and every change of ours by
// others is found.
func TestUpdate(t *testing.T) {
	node := netns.New(t)
	var table Table
	update := func(want Config, size int) {
		t.Helper()
		node.Do(func() {
			change, err := table.Update(t.Context(), want)
			if err != nil || change.Size() != size {
				t.Errorf("Update: %d objects, %v; want %d", change.Size(), err, size)
			}
			have, err := table.Read(t.Context())
			have.Served, have.Hairpin = unique(have.Served, serviceport.Key.Compare), unique(have.Hairpin, netip.Addr.Compare)
			if diff := cmp.Diff(stateOf(want), have, compareAddresses); err != nil || diff != "" {
				t.Errorf("Read: %v, (-want +got)\n%s", err, diff)
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
	bare := base()
	bare.Served, bare.Hairpin = nil, nil
	update(bare, 1)
	touched(false)
	update(Config{}, 1)
	update(base(), 6)
	touched(false)
	update(base(), 0)
	more := base()
	more.Served = append(more.Served, port("244.0.0.9:80", "tcp"))
	update(more, 1)
	touched(false)
	node.Run("nft", "add table inet other; add chain inet other c; add rule inet other c accept")
	touched(false)
	update(base(), 1)
	touched(false)
	for _, damage := range []string{
		"add rule inet tombolo unserved accept", "flush chain inet tombolo keep", "delete element inet tombolo served4 { 244.0.0.1 . tcp . 80 }",
		"add element inet tombolo served4 { 244.0.7.1 . tcp . 80 }", "flush set inet tombolo hairpin6", "delete table inet tombolo",
	} {
		node.Run("nft", damage)
		touched(true)
		node.Run("nft", "add rule inet other c accept") // somebody else writes as well
		touched(true)
		node.Do(func() {
			if change, err := table.Update(t.Context(), base()); err != nil || change.Empty() {
				t.Errorf("%s: %+v, %v", damage, change, err)
			}
		})
		touched(false)
		update(base(), 0)
		node.Run("nft", "add rule inet other c accept")
		touched(false)
	}
	// A change while the table is damaged: the change is made, and the damage is still to be found.
	node.Run("nft", "flush set inet tombolo hairpin4")
	node.Do(func() {
		if _, err := table.Update(t.Context(), more); err != nil {
			t.Fatal(err)
		}
	})
	touched(true)
	update(more, 1)
	touched(false)
}
