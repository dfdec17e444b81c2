//go:build kernel

package cni

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tombolo-net/tombolo/hack/testbin"
)

// command runs a program and returns what it prints, blanks squeezed.
func command(t *testing.T, args ...string) string {
	t.Helper()
	text, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, text)
	}
	return strings.Join(strings.Fields(string(text)), " ")
}

// node makes this kernel one with a default route, and leaves the IPAM plugin where call finds it.
func node(t *testing.T) {
	t.Helper()
	bin, err := testbin.Dir()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(filepath.Join(bin, "cni-host-local"), filepath.Join(dir, "host-local")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CNI_PATH", dir)
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	command(t, "ip", "link", "add", "eth0", "type", "dummy")
	t.Cleanup(func() { command(t, "ip", "link", "del", "eth0") })
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/all/forwarding", []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	command(t, "ip", "address", "add", "192.0.2.11/24", "dev", "eth0")
	command(t, "ip", "address", "add", "2001:db8::11/64", "dev", "eth0", "nodad")
	command(t, "ip", "link", "set", "eth0", "up")
	command(t, "ip", "route", "add", "default", "via", "192.0.2.1")
}

// call runs the plugin for a pod, whose namespace has the same name.
func call(t *testing.T, what, pod, bridge string) (string, error) {
	t.Helper()
	for _, tt := range []struct {
		name  string
		value string
	}{
		{"CNI_COMMAND", what}, {"CNI_CONTAINERID", pod + "0123456789abcdef"}, {"CNI_NETNS", "/run/netns/" + pod}, {"CNI_IFNAME", "eth0"},
	} {
		t.Setenv(tt.name, tt.value)
	}
	config, err := json.Marshal(Config{Version: version, Network: "test" + bridge, Type: Name, Bridge: bridge, MTU: 1450, IPAM: map[string]any{
		"type": "host-local", "dataDir": filepath.Join(os.TempDir(), "ipam-"+t.Name()),
		"ranges": [][]map[string]string{{{"subnet": "10.1.7.0/24"}}, {{"subnet": "fd00:10:1:7::/64"}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err = run(bytes.NewReader(config), &out)
	return out.String(), err
}

// TestPods: two pods of each kind reach each other and the node, and leave nothing behind.
func TestPods(t *testing.T) {
	for _, tt := range []struct {
		kind, bridge string
		routes       string // of the first pod
		host         string // the node's route to it
		gateway6     string // of the first pod, over IPv6
	}{
		{"bridge", "cni7", "default via 10.1.7.1 dev eth0 10.1.7.0/24 dev eth0 proto kernel scope link src 10.1.7.2", "10.1.7.0/24 dev cni7 proto kernel scope link src 10.1.7.1", "fd00:10:1:7::1"},
		{"host routes", "", "default via 169.254.1.1 dev eth0 169.254.1.1 dev eth0 scope link", "10.1.7.2 dev caliaaa01234567 scope link", "fe80::ecee:eeff:feee:eeee"},
	} {
		t.Run(tt.kind, func(t *testing.T) {
			node(t)
			for i, pod := range []string{"aaa", "bbb"} {
				command(t, "ip", "netns", "add", pod)
				out, err := call(t, "ADD", pod, tt.bridge)
				if err != nil {
					t.Fatal(err)
				}
				var r result
				if err := json.Unmarshal([]byte(out), &r); err != nil {
					t.Fatal(err)
				}
				if want := netip.MustParsePrefix(fmt.Sprintf("10.1.7.%d/24", i+2)); len(r.IPs) != 2 || r.IPs[0].Address != want || *r.IPs[0].Interface != 1 || *r.IPs[1].Interface != 1 {
					t.Errorf("addresses of %s: %s, want %s on the second interface", pod, out, want)
				}
			}
			if got := command(t, "ip", "-n", "aaa", "route"); got != tt.routes {
				t.Errorf("routes of the pod: %s, want %s", got, tt.routes)
			}
			if got := command(t, "ip", "-n", "aaa", "link", "show", "eth0"); !strings.Contains(got, "mtu 1450") {
				t.Errorf("the pod's device: %s, want MTU 1450", got)
			}
			if got := command(t, "ip", "route"); !strings.Contains(got, tt.host) {
				t.Errorf("routes of the node: %s, want %s", got, tt.host)
			}
			if got := command(t, "ip", "-6", "-n", "aaa", "route", "show", "default"); !strings.HasPrefix(got, "default via "+tt.gateway6+" dev eth0") {
				t.Errorf("routes of the pod: %s, want one via %s", got, tt.gateway6)
			}
			for _, to := range []string{"10.1.7.3", "192.0.2.11", "fd00:10:1:7::3", "2001:db8::11"} {
				command(t, "ip", "netns", "exec", "aaa", "busybox", "ping", "-c", "1", "-W", "3", to)
			}
			for _, pod := range []string{"aaa", "bbb"} {
				for range 2 { // it may be repeated
					if _, err := call(t, "DEL", pod, tt.bridge); err != nil {
						t.Error(err)
					}
				}
				if got := command(t, "ip", "-n", pod, "link"); strings.Contains(got, "eth0") {
					t.Errorf("links of %s: %s", pod, got)
				}
				command(t, "ip", "netns", "del", pod)
				if _, err := call(t, "DEL", pod, tt.bridge); err != nil {
					t.Errorf("without the namespace: %v", err)
				}
			}
			if got := command(t, "ip", "-o", "link"); strings.Contains(got, "cali") || strings.Contains(got, "veth") {
				t.Errorf("links of the node: %s", got)
			}
		})
	}
}

// TestFailedAdd: an address that could not be used is given back.
func TestFailedAdd(t *testing.T) {
	node(t)
	if out, err := call(t, "ADD", "nowhere", ""); err == nil {
		t.Fatalf("without a namespace: %s", out)
	}
	command(t, "ip", "netns", "add", "ccc")
	defer command(t, "ip", "netns", "del", "ccc")
	if _, err := call(t, "ADD", "ccc", ""); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(os.TempDir(), "ipam-"+t.Name(), "test", "10.*"))
	if err != nil || len(left) != 1 {
		t.Errorf("addresses in use: %v, %v; want one", left, err)
	}
	if _, err := call(t, "DEL", "ccc", ""); err != nil {
		t.Error(err)
	}
}
