package podnet

import (
	"net/netip"
	"strings"
	"testing"
)

func TestFacts(t *testing.T) {
	for _, tt := range []struct {
		name             string
		facts            Facts
		problem, remarks string
	}{
		{"nothing", Facts{}, "", ""},
		{"all is well", Facts{Bridges: []Bridge{{Name: "cni0"}}, Flows: 89, MaxFlows: 100}, "", ""},
		{"not forwarding", Facts{NotForwarding: []string{"net.ipv4.ip_forward"}}, "`sysctl -w net.ipv4.ip_forward=1`", ""},
		{"bypassed", Facts{Bridges: []Bridge{{Name: "cni0", Bypassed: []string{"ip6tables"}}}}, "bridge cni0 bypass netfilter", ""},
		{"the setting", Facts{Bridges: []Bridge{{Name: "cni0", Bypassed: []string{"ip6tables"}}}}, ": `sysctl -w net.bridge.bridge-nf-call-ip6tables=1`", ""},
		{"no module", Facts{Bridges: []Bridge{{Name: "cni0", Bypassed: []string{"iptables"}, NoModule: true}}}, "`modprobe br_netfilter && sysctl -w net.bridge.bridge-nf-call-iptables=1`", ""},
		{"strict", Facts{Strict: []Strict{{Device: "vxlan.calico", Source: netip.MustParseAddr("10.1.0.5")}}}, "from 10.1.0.5, come in by vxlan.calico", ""},
		{"strict, the setting", Facts{Strict: []Strict{{Device: "vxlan.calico"}}}, "`sysctl -w net/ipv4/conf/vxlan.calico/rp_filter=2`", ""},
		{"strict without an address", Facts{Strict: []Strict{{Device: "tunl0", NoAddress: true}}}, "`sysctl -w net.ipv4.conf.all.rp_filter=0 net/ipv4/conf/tunl0/rp_filter=0`", ""},
		{"untracked", Facts{Untracked: true}, "from other clusters, so that they are not translated: find the rule", ""},
		{"nearly full", Facts{Flows: 90, MaxFlows: 100}, "", "nf_conntrack_max (100)"},
	} {
		var problems []string
		for _, err := range tt.facts.Problems() {
			problems = append(problems, err.Error())
		}
		got, remarks := strings.Join(problems, "; "), strings.Join(tt.facts.Remarks(), "; ")
		if !strings.Contains(got, tt.problem) || (got == "") != (tt.problem == "") {
			t.Errorf("%s: problems %q, want %q", tt.name, got, tt.problem)
		}
		if !strings.Contains(remarks, tt.remarks) || (remarks == "") != (tt.remarks == "") {
			t.Errorf("%s: remarks %q, want %q", tt.name, remarks, tt.remarks)
		}
	}
}
