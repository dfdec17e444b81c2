//go:build kernel

package node

import (
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
)

// addUplink makes a device like a node's.
func addUplink(t *testing.T) {
	t.Helper()
	link := &netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Name: kernelDevice}}
	if err := netlink.LinkAdd(link); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = netlink.LinkDel(link) })
	cfg := valid()
	cfg.MTU = 1400
	cfg.Addresses = append(cfg.Addresses, netip.MustParsePrefix("fd00::11/64"))
	if err := setUpNetwork(cfg); err != nil {
		t.Fatal(err)
	}
}

// output returns what a command prints, blanks squeezed.
func output(t *testing.T, args ...string) string {
	t.Helper()
	text, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, text)
	}
	return strings.Join(strings.Fields(string(text)), " ")
}

func TestSetUpNetwork(t *testing.T) {
	addUplink(t)
	if got := output(t, "ip", "link", "show", uplink); !strings.Contains(got, "mtu 1400") || !strings.Contains(got, "UP") {
		t.Errorf("link: %s", got)
	}
	if got := output(t, "ip", "-6", "addr", "show", "dev", uplink); !strings.Contains(got, "fd00::11/64") || strings.Contains(got, "tentative") {
		t.Errorf("IPv6 addresses: %s", got)
	}
	if diff := cmp.Diff("default via 192.168.127.1 dev eth0", output(t, "ip", "route", "show", "default")); diff != "" {
		t.Errorf("default route (-want +got):\n%s", diff)
	}
}

func TestSyncRoutes(t *testing.T) {
	addUplink(t)
	output(t, "ip", "route", "add", "10.7.0.0/24", "via", "192.168.127.1") // somebody else's
	show := func() string {
		return output(t, "ip", "route", "show", "proto", "197") + "|" + output(t, "ip", "-6", "route", "show", "proto", "197")
	}
	steps := []struct {
		want routes
		show string
	}{
		{
			route("10.1.1.0/24", "192.168.127.12", "fd00:1:1::/64", "fd00::12"),
			"10.1.1.0/24 via 192.168.127.12 dev eth0|fd00:1:1::/64 via fd00::12 dev eth0 metric 1024 pref medium",
		},
		{route("10.1.1.0/24", "192.168.127.13"), "10.1.1.0/24 via 192.168.127.13 dev eth0|"},
		{routes{}, "|"},
	}
	for _, s := range steps {
		change, err := syncRoutes(s.want, nil)
		if err != nil || change.empty() {
			t.Fatalf("syncRoutes(%v): %+v, %v; want a change", s.want, change, err)
		}
		if diff := cmp.Diff(s.show, show()); diff != "" {
			t.Errorf("routes (-want +got):\n%s", diff)
		}
		if change, err := syncRoutes(s.want, nil); err != nil || !change.empty() {
			t.Errorf("again: %+v, %v; want no change", change, err)
		}
	}
	if got := output(t, "ip", "route", "show", "10.7.0.0/24"); got == "" {
		t.Error("somebody else's route is gone")
	}
}

func TestMasquerade(t *testing.T) {
	addUplink(t)
	cidrs := prefixes([]string{"10.1.0.0/16", "fd00:1::/48"})
	for _, tt := range []struct {
		cni   string
		rules string
	}{
		{CNIRouted, `oifname "eth0" ip daddr != 10.1.0.0/16 fib saddr type != local masquerade ` +
			`oifname "eth0" ip6 daddr != fd00:1::/48 fib saddr type != local masquerade`},
		{CNIKindnet, `ip daddr != 10.1.0.0/16 fib daddr type != local masquerade ` +
			`ip6 daddr != fd00:1::/48 fib daddr type != local masquerade`},
	} {
		for range 2 { // it may be repeated
			if err := masquerade(t.Context(), tt.cni, cidrs); err != nil {
				t.Fatal(err)
			}
		}
		want := `table inet lab-masquerade { chain postrouting { type nat hook postrouting priority srcnat; policy accept; ` + tt.rules + ` } }`
		if diff := cmp.Diff(want, output(t, "nft", "list", "table", "inet", masqueradeTable)); diff != "" {
			t.Errorf("%s: table (-want +got):\n%s", tt.cni, diff)
		}
	}
}
