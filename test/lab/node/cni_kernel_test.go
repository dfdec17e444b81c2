//go:build kernel

package node

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// nodeOf is a Node with a pod CIDR and an InternalIP.
func nodeOf(name, cidr, address string) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.NodeSpec{PodCIDRs: []string{cidr}},
		Status:     corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: address}}},
	}
}

// entries parses the JSON output of a command of iproute2 as a list of objects.
func entries(t *testing.T, args ...string) (all []map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte(output(t, args...)), &all); err != nil {
		t.Fatalf("%s: %v", strings.Join(args, " "), err)
	}
	return all
}

// fields are the chosen values of all objects, one line each, sorted.
func fields(objects []map[string]any, names ...string) (lines []string) {
	for _, o := range objects {
		var values []string
		for _, name := range names {
			values = append(values, fmt.Sprint(o[name]))
		}
		lines = append(lines, strings.Join(values, " "))
	}
	return slices.Sorted(slices.Values(lines))
}

func TestFlannel(t *testing.T) {
	addUplink(t)
	t.Cleanup(func() { output(t, "ip", "link", "del", flannelDevice); output(t, "iptables", "-t", "nat", "-F") })
	f := &flannel{family: ipv4, podCIDRs: prefixes([]string{"10.1.0.0/16"}), log: slog.New(slog.DiscardHandler)}
	if got := fmt.Sprint(f.plugin()); got != "map[bridge:cni0 mtu:1350 type:lab-pod]" {
		t.Errorf("plugin: %s", got)
	}
	self := nodeOf("east-1", "10.1.0.0/24", "192.168.127.11")
	second, third := nodeOf("east-2", "10.1.1.0/24", "192.168.127.12"), nodeOf("east-3", "10.1.2.0/24", "192.168.127.13")
	sync := func(others ...*corev1.Node) {
		t.Helper()
		if err := f.sync(t.Context(), self, others); err != nil {
			t.Fatal(err)
		}
	}
	check := func(what string, got, want []string) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	mac2, mac3 := vtepMAC("east-2").String(), vtepMAC("east-3").String()
	sync(second, third)
	link := output(t, "ip", "-d", "link", "show", flannelDevice)
	for _, want := range []string{"mtu 1350", "vxlan id 1 local 192.168.127.11 dev eth0", "dstport 8472", "nolearning", vtepMAC("east-1").String()} {
		if !strings.Contains(link, want) {
			t.Errorf("device: %s, want %s", link, want)
		}
	}
	check("forwarding entries", fields(entries(t, "bridge", "-j", "fdb", "show", "dev", flannelDevice), "mac", "dst", "state"),
		slices.Sorted(slices.Values([]string{mac2 + " 192.168.127.12 permanent", mac3 + " 192.168.127.13 permanent"})))
	check("neighbours", fields(entries(t, "ip", "-4", "-j", "neigh", "show", "dev", flannelDevice), "dst", "lladdr", "state"),
		[]string{"10.1.1.0 " + mac2 + " [PERMANENT]", "10.1.2.0 " + mac3 + " [PERMANENT]"})
	routes := func() []string {
		return fields(entries(t, "ip", "-j", "route", "show", "dev", flannelDevice), "dst", "gateway", "flags")
	}
	check("routes", routes(), []string{"10.1.1.0/24 10.1.1.0 [onlink]", "10.1.2.0/24 10.1.2.0 [onlink]"})
	before := everything(t)
	sync(second, third)
	check("after a second pass", everything(t), before)
	// A node leaves, one comes back under another address, and somebody takes the rules away.
	output(t, "iptables", "-t", "nat", "-F", "POSTROUTING")
	output(t, "iptables", "-t", "nat", "-A", "POSTROUTING", "-j", "ACCEPT")
	sync(nodeOf("east-2", "10.1.1.0/24", "192.168.127.19"))
	check("forwarding entries", fields(entries(t, "bridge", "-j", "fdb", "show", "dev", flannelDevice), "mac", "dst"), []string{mac2 + " 192.168.127.19"})
	check("neighbours", fields(entries(t, "ip", "-4", "-j", "neigh", "show", "dev", flannelDevice), "dst"), []string{"10.1.1.0"})
	check("routes", routes(), []string{"10.1.1.0/24 10.1.1.0 [onlink]"})
	if got := output(t, "iptables", "-t", "nat", "-S", "POSTROUTING"); got != "-P POSTROUTING ACCEPT -A POSTROUTING -j ACCEPT -A POSTROUTING -j FLANNEL-POSTRTG" {
		t.Errorf("rules: %s", got)
	}
}

// TestFlannel6: flannel's network of IPv6 stands beside that of IPv4, and neither touches the other.
func TestFlannel6(t *testing.T) {
	addUplink(t)
	output(t, "ip", "address", "add", "fd00:192::11/64", "dev", "eth0", "nodad")
	t.Cleanup(func() {
		for _, device := range []string{flannelDevice, flannelDevice6} {
			output(t, "ip", "link", "del", device)
		}
		output(t, "iptables", "-t", "nat", "-F")
		output(t, "ip6tables", "-t", "nat", "-F")
	})
	cfg := Config{CNI: CNIFlannel, PodCIDRs: prefixes([]string{"10.1.0.0/16", "fd00:10:1::/56"})}
	net := newPodNet(cfg, slog.New(slog.DiscardHandler))
	if got := fmt.Sprint(net.plugin()); got != "map[bridge:cni0 mtu:1330 type:lab-pod]" {
		t.Errorf("plugin: %s", got)
	}
	dual := func(name string, i int) *corev1.Node {
		n := nodeOf(name, fmt.Sprintf("10.1.%d.0/24", i), fmt.Sprintf("192.168.127.1%d", i+1))
		n.Spec.PodCIDRs = append(n.Spec.PodCIDRs, fmt.Sprintf("fd00:10:1:%d::/64", i))
		n.Status.Addresses = append(n.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: fmt.Sprintf("fd00:192::1%d", i+1)})
		return n
	}
	self, other := dual("east-1", 0), dual("east-2", 1)
	for range 2 {
		if err := net.sync(t.Context(), self, []*corev1.Node{other}); err != nil {
			t.Fatal(err)
		}
	}
	mac := vtepMAC("east-2").String()
	for _, tt := range []struct {
		name      string
		got, want []string
	}{
		{"forwarding entries", fields(entries(t, "bridge", "-j", "fdb", "show", "dev", flannelDevice6), "mac", "dst", "state"), []string{mac + " fd00:192::12 permanent"}},
		{"neighbours", fields(entries(t, "ip", "-6", "-j", "neigh", "show", "dev", flannelDevice6, "nud", "permanent"), "dst", "lladdr"), []string{"fd00:10:1:1:: " + mac}},
		{"routes", fields(entries(t, "ip", "-6", "-j", "route", "show", "dev", flannelDevice6, "proto", "197"), "dst", "gateway", "flags"), []string{"fd00:10:1:1::/64 fd00:10:1:1:: [onlink]"}},
		{"routes of IPv4", fields(entries(t, "ip", "-j", "route", "show", "dev", flannelDevice), "dst", "gateway", "flags"), []string{"10.1.1.0/24 10.1.1.0 [onlink]"}},
	} {
		if diff := cmp.Diff(tt.want, tt.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
	if got := output(t, "ip", "-d", "link", "show", flannelDevice6); !strings.Contains(got, "mtu 1330") || !strings.Contains(got, "local fd00:192::11 dev eth0") {
		t.Errorf("device: %s", got)
	}
	if got := output(t, "ip6tables", "-t", "nat", "-S", "FLANNEL-POSTRTG"); !strings.Contains(got, "-s fd00:10:1::/56 ! -d ff00::/8 -j MASQUERADE") {
		t.Errorf("rules: %s", got)
	}
}

// TestCalicoNAT6: the rules and sets of IPv6, beside those of IPv4.
func TestCalicoNAT6(t *testing.T) {
	addUplink(t)
	t.Cleanup(func() { output(t, "ip6tables", "-t", "nat", "-F"); output(t, "ipset", "destroy") })
	c := &calico{family: ipv6, podCIDRs: prefixes([]string{"fd00:10:2::/58"}), log: slog.New(slog.DiscardHandler)}
	for range 2 {
		if err := c.syncNAT(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := output(t, "ip6tables", "-t", "nat", "-S", "cali-POSTROUTING"); !strings.Contains(got, "-m set --match-set cali60masq-ipam-pools src -m set ! --match-set cali60all-ipam-pools dst -j MASQUERADE --random-fully") {
		t.Errorf("rules: %s", got)
	}
	if got := output(t, "ipset", "list", calicoAllPools6); !strings.HasSuffix(got, "Members: fd00:10:2::/58") {
		t.Errorf("set: %s", got)
	}
}

// everything is what a pass could write.
func everything(t *testing.T) []string {
	t.Helper()
	return []string{
		output(t, "bridge", "fdb", "show"), output(t, "ip", "neigh"), output(t, "ip", "route"), output(t, "ip", "-o", "address"),
		output(t, "iptables", "-t", "nat", "-S"),
	}
}

func TestCalicoNAT(t *testing.T) {
	addUplink(t)
	t.Cleanup(func() { output(t, "iptables", "-t", "nat", "-F"); output(t, "ipset", "destroy") })
	c := &calico{family: ipv4, podCIDRs: prefixes([]string{"10.2.0.0/18"}), log: slog.New(slog.DiscardHandler)}
	output(t, "iptables", "-t", "nat", "-A", "POSTROUTING", "-s", "10.9.0.0/16", "-j", "ACCEPT")
	first := func() {
		t.Helper()
		if err := c.syncNAT(t.Context()); err != nil {
			t.Fatal(err)
		}
		got := output(t, "iptables", "-t", "nat", "-S", "POSTROUTING")
		if !strings.HasPrefix(got, "-P POSTROUTING ACCEPT -A POSTROUTING -j cali-POSTROUTING -A ") || strings.Count(got, "cali-") != 1 {
			t.Errorf("rules: %s; want one jump, in front", got)
		}
	}
	first()
	if got := output(t, "iptables", "-t", "nat", "-S", "cali-POSTROUTING"); !strings.Contains(got, "-m set --match-set cali40masq-ipam-pools src -m set ! --match-set cali40all-ipam-pools dst -j MASQUERADE --random-fully") {
		t.Errorf("rules: %s", got)
	}
	for _, set := range []string{calicoAllPools, calicoMasqueradePools} {
		if got := output(t, "ipset", "list", set); !strings.HasSuffix(got, "Members: 10.2.0.0/18") {
			t.Errorf("set: %s", got)
		}
	}
	before := everything(t)
	first()
	if diff := cmp.Diff(before, everything(t)); diff != "" {
		t.Errorf("after a second pass (-want +got):\n%s", diff)
	}
	output(t, "iptables", "-t", "nat", "-I", "POSTROUTING", "-s", "10.8.0.0/16", "-j", "ACCEPT") // somebody gets in front
	first()
	output(t, "iptables", "-t", "nat", "-F", "cali-POSTROUTING")
	first()
	if got := output(t, "iptables", "-t", "nat", "-S", "cali-POSTROUTING"); !strings.Contains(got, "MASQUERADE") {
		t.Errorf("rules that were flushed: %s", got)
	}
}

// site is a node that runs BIRD.
type site struct {
	self, own string // its address and its pods
	pod       string // one of them
	peer      bgpPeer
}

// TestBIRD: two nodes that run BIRD with our configuration have a route to each other's pods, and
// none to anything else that the other one has.
func TestBIRD(t *testing.T) {
	for _, tt := range []struct {
		family         family
		pools, foreign string
		sites          map[string]site
	}{
		{ipv4, "10.2.0.0/18", "203.0.113.0/24", map[string]site{
			"aaa": {"192.0.2.21", "10.2.0.0/24", "10.2.0.7/32", bgpPeer{"west-2", netip.MustParseAddr("192.0.2.22")}},
			"bbb": {"192.0.2.22", "10.2.1.0/24", "10.2.1.7/32", bgpPeer{"west-1", netip.MustParseAddr("192.0.2.21")}},
		}},
		{ipv6, "fd00:10:2::/58", "2001:db8::/64", map[string]site{
			"ccc": {"fd00:192::21", "fd00:10:2::/64", "fd00:10:2::7/128", bgpPeer{"west-2", netip.MustParseAddr("fd00:192::22")}},
			"ddd": {"fd00:192::22", "fd00:10:2:1::/64", "fd00:10:2:1::7/128", bgpPeer{"west-1", netip.MustParseAddr("fd00:192::21")}},
		}},
	} {
		t.Run(tt.family.iptables, func(t *testing.T) { testBIRD(t, tt.family, tt.pools, tt.foreign, tt.sites) })
	}
}

func testBIRD(t *testing.T, f family, pools, foreign string, run map[string]site) {
	t.Helper()
	names := slices.Sorted(maps.Keys(run))
	for _, ns := range names {
		output(t, "ip", "netns", "add", ns)
	}
	output(t, "ip", "link", "add", "eth0", "netns", names[0], "type", "veth", "peer", "eth0", "netns", names[1])
	for ns, r := range run {
		if f.is4 {
			output(t, "ip", "-n", ns, "address", "add", r.self+"/24", "dev", "eth0")
		} else {
			output(t, "ip", "-n", ns, "address", "add", r.self+"/64", "dev", "eth0", "nodad")
		}
		output(t, "ip", "-n", ns, "link", "set", "eth0", "up")
		output(t, "ip", "-n", ns, "link", "set", "lo", "up")
		output(t, "ip", "-n", ns, "route", "add", foreign, "dev", "eth0") // no pods
		output(t, "ip", "-n", ns, "route", "add", r.pod, "dev", "lo")
		dir := t.TempDir()
		config := dir + "/bird.conf"
		text := birdText(f, netip.MustParseAddr(r.self), netip.MustParsePrefix(r.own), prefixes([]string{pools}), []bgpPeer{r.peer})
		if err := writeFile(config, text); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("ip", "netns", "exec", ns, "bird", "-f", "-c", config, "-s", dir+"/bird.ctl")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, ns := range names {
		r, other := run[ns], run[names[0]]
		if ns == names[0] {
			other = run[names[1]]
		}
		err := poll(ctx, func(context.Context) error {
			version := "-6"
			if f.is4 {
				version = "-4"
			}
			got := output(t, "ip", version, "-n", ns, "route", "show", "proto", "bird")
			if !strings.Contains(got, other.own+" via ") || !strings.Contains(got, "blackhole "+r.own) || strings.Contains(got, foreign) || strings.Contains(got, other.pod) {
				return fmt.Errorf("routes of %s: %s; want %s and a blackhole", ns, got, other.own)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}
