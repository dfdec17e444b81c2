package main

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

const nodeList = `{"items": [
	{"metadata": {"name": "west-worker"}, "spec": {"podCIDRs": ["10.2.1.0/24", "fd00:10:2:1::/64"]},
	 "status": {"addresses": [{"type": "InternalIP", "address": "172.18.0.5"}, {"type": "InternalIP", "address": "fc00::5"}, {"type": "Hostname", "address": "west-worker"}]}},
	{"metadata": {"name": "west-control-plane"}, "spec": {"podCIDRs": ["10.2.0.0/24", "fd00:10:2::/64"]},
	 "status": {"addresses": [{"type": "InternalIP", "address": "172.18.0.4"}, {"type": "InternalIP", "address": "fc00::4"}]}}
]}`

func TestNetworkScript(t *testing.T) {
	machines, err := parseNodes([]byte(nodeList), 2)
	if err != nil {
		t.Fatal(err)
	}
	script, err := networkScript(machines[0], machines[1:], []string{"10.2.0.0/16", "fd00:10:2::/56"})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"ip route replace 10.2.0.0/24 via 172.18.0.4\n",
		"ip route replace fd00:10:2::/64 via fc00::4\n",
		`ip saddr 10.2.0.0/16 ip daddr != 10.2.0.0/16 oifname "eth0" masquerade`,
		`ip6 saddr fd00:10:2::/56 ip6 daddr != fd00:10:2::/56 oifname "eth0" masquerade`,
		`"subnet": "10.2.1.0/24"`, `"dst": "::/0"`,
	} {
		if !strings.Contains(script, want) {
			t.Errorf("the script lacks %q:\n%s", want, script)
		}
	}
	if out, err := exec.Command("sh", "-n", "-c", script).CombinedOutput(); err != nil {
		t.Errorf("not a script: %v: %s", err, out)
	}
}

func TestParseNodesWaits(t *testing.T) {
	for name, list := range map[string]string{
		"too few nodes": `{"items": []}`,
		"no CIDR yet":   `{"items": [{"metadata": {"name": "a"}}, {"metadata": {"name": "b"}}]}`,
	} {
		if _, err := parseNodes([]byte(list), 2); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// The two clusters differ in what tombolo has to get along with, and share no address.
func TestClusters(t *testing.T) {
	modes := map[string]bool{}
	both, err := clusters("ipv4,dual")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range both {
		modes[c.ProxyMode+" "+c.Family] = true
		var text strings.Builder
		if err := kindConfig.Execute(&text, struct {
			cluster
			NoCNI, CgroupV1 bool
		}{c, true, true}); err != nil {
			t.Fatal(err)
		}
		var config struct {
			Networking struct {
				KubeProxyMode     string
				DisableDefaultCNI bool
			}
			KubeadmConfigPatches []string
		}
		if err := yaml.UnmarshalStrict([]byte(text.String()), &map[string]any{}); err != nil {
			t.Fatal(err)
		}
		if err := yaml.Unmarshal([]byte(text.String()), &config); err != nil {
			t.Fatal(err)
		}
		if config.Networking.KubeProxyMode != c.ProxyMode || !config.Networking.DisableDefaultCNI || len(config.KubeadmConfigPatches) != 3 {
			t.Errorf("%s: %+v", c.Name, config)
		}
	}
	if diff := cmp.Diff(map[string]bool{"iptables ipv4": true, "nftables dual": true}, modes); diff != "" {
		t.Errorf("modes (-want +got):\n%s", diff)
	}
}

func TestSurplus(t *testing.T) {
	got := surplus([]string{"network bridge", "volume a"}, []string{"network bridge", "network kind"})
	if diff := cmp.Diff([]string{"network kind"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestFamilies(t *testing.T) {
	for families, want := range map[string]string{
		"ipv4,dual":      "10.1.0.0/16 10.101.0.0/16 | 10.2.0.0/16,fd00:10:2::/56 10.102.0.0/16,fd00:10:102::/112",
		"ipv6":           "fd00:10:1::/56 fd00:10:101::/112 | fd00:10:2::/56 fd00:10:102::/112",
		"ipv4,ipv6":      `-ip-family "ipv4,ipv6"`,
		"ipv5":           "allowed are ipv4, ipv6 and dual",
		"ipv4,dual,dual": "allowed are",
	} {
		both, err := clusters(families)
		got := fmt.Sprint(err)
		if err == nil {
			got = both[0].Pods + " " + both[0].Services + " | " + both[1].Pods + " " + both[1].Services
		}
		if !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", families, got, want)
		}
	}
}
