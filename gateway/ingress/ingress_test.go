package ingress

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/kernel/firewall"
	"github.com/tombolo-net/tombolo/internal/kernel/nft"
	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
)

// small is a gateway of a cluster that exports one port, beside a cluster that exports one.
func small() Input {
	endpoint := func(address string) serviceport.Key {
		ap := netip.MustParseAddrPort(address)
		return serviceport.Key{Address: ap.Addr(), Protocol: serviceport.UDP, Port: ap.Port()}
	}
	return Input{
		CIDRs:  []netip.Prefix{netip.MustParsePrefix("10.2.0.0/18"), netip.MustParsePrefix("10.2.1.0/24"), netip.MustParsePrefix("fd02::/50")},
		Tunnel: []netip.Addr{netip.MustParseAddr("245.0.32.0")}, Probes: 7472, Nodes: []netip.Addr{netip.MustParseAddr("10.2.9.9")},
		Senders: []Sender{{Cluster: "east", Prefixes: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}}},
		Endpoints: endpointSets(map[setFor][]serviceport.Key{
			{"exported", ""}: {endpoint("10.2.1.5:53"), endpoint("10.2.1.5:53"), {Address: netip.MustParseAddr("fd02::5")}},
			{"imported", ""}: {endpoint("10.1.0.5:53")},
		}),
	}
}

// setFor is a set of endpoints, and the cluster that it is for; empty: for all.
type setFor struct {
	name    string
	cluster v1alpha1.ClusterID
}

// endpointSets are sets that hold these endpoints. Port zero stands for all ports of all protocols.
func endpointSets(all map[setFor][]serviceport.Key) map[string]firewall.Keys {
	var elements firewall.Elements[setFor]
	for set, endpoints := range all {
		keys := map[string][]string{}
		for _, e := range endpoints {
			f := familyOf(e.Address)
			if name := f.set(set.name+"-hosts", set.cluster); e.Port == 0 {
				keys[name] = append(keys[name], string(e.Address.AsSlice()))
				continue
			}
			name := f.set(set.name, set.cluster)
			keys[name] = append(keys[name], string(nft.AppendService(nil, e)))
		}
		elements.Put(set, keys)
	}
	return elements.Sets()
}

func TestRules(t *testing.T) {
	want := map[string][]string{
		"admit4": {
			"ip saddr != { 10.1.0.0/16 } goto drop-Source",
			"meta l4proto 1 goto icmp4",
			"ip daddr . meta l4proto . th dport @exported4 accept",
			"ip daddr @exported-hosts4 accept",
			"ip daddr 245.0.32.0 udp sport 7472 udp dport 7472 accept",
			"ip daddr != { 10.2.0.0/18 } goto drop-Foreign",
			"ip daddr @nodes4 goto drop-Unexported",
			"tcp flags & (syn | ack) == syn goto drop-Unexported",
			"meta l4proto 132 @th,96,8 1 goto drop-Unexported",
			"meta l4proto { 6, 17, 132 } ip saddr . meta l4proto . th sport @imported4 accept",
			"meta l4proto { 6, 17, 132 } ip saddr @imported-hosts4 accept",
			"goto drop-Unexported",
		},
		"admit6": {"goto drop-Source"}, // nobody has IPv6
		"icmp4": {
			"ip daddr != { 10.2.0.0/18 } goto drop-Foreign",
			"icmp type { 3, 11, 12 } @th,160,18 0x002808 accept", // 10.2.0.0/18, of its 18 bits
			"icmp type { 0, 8 } limit rate 200/second burst 200 packets accept",
			"icmp type { 0, 8 } goto drop-TooManyEchoes",
			"goto drop-Unexported",
		},
		"drop-Unexported": {
			"meta l4proto { 6, 17, 132 } limit rate 5/second burst 5 packets add @recent4 { ip saddr . ip daddr . meta l4proto . th dport }",
			`counter name ip saddr map { 10.1.0.0/16 : "dropped/east/Unexported" }`,
			"drop",
		},
	}
	for _, chain := range Table(small()).Chains {
		if rules, ok := want[chain.Name]; ok {
			if diff := cmp.Diff(rules, chain.Rules); diff != "" {
				t.Errorf("chain %s (-want +got)\n%s", chain.Name, diff)
			}
			delete(want, chain.Name)
		}
	}
	if len(want) > 0 {
		t.Errorf("no chains %v", want)
	}
}

func TestElements(t *testing.T) {
	got := map[string][]string{}
	for _, s := range Table(small()).Sets {
		got[s.Name] = slices.Collect(s.Keys.All())
	}
	for name, want := range map[string][]string{
		"exported4": {"\x0a\x02\x01\x05\x11\x00\x00\x00\x00\x35\x00\x00"}, "exported6": nil,
		"exported-hosts6": {string(netip.MustParseAddr("fd02::5").AsSlice())}, "exported-hosts4": nil,
		"imported4": {"\x0a\x01\x00\x05\x11\x00\x00\x00\x00\x35\x00\x00"}, "nodes4": {"\x0a\x02\x09\x09"},
	} {
		if diff := cmp.Diff(want, got[name]); diff != "" {
			t.Errorf("set %s (-want +got)\n%s", name, diff)
		}
	}
}

// A gateway that knows nothing admits nothing.
func TestShut(t *testing.T) {
	for _, in := range []Input{{}, {CIDRs: small().CIDRs}, {Senders: small().Senders}} {
		for _, chain := range Table(in).Chains {
			for _, rule := range chain.Rules {
				if strings.HasSuffix(rule, "accept") && (chain.Name == "admit4" && len(in.Senders) == 0 || strings.HasPrefix(chain.Name, "icmp") && len(in.CIDRs) == 0) {
					t.Errorf("%+v: chain %s has the rule %q", in, chain.Name, rule)
				}
			}
		}
	}
}

func TestInnerSource(t *testing.T) {
	for prefix, want := range map[string]string{
		"10.0.0.0/8": "@th,160,8 0x0a", "10.2.0.0/18": "@th,160,18 0x2808", "192.0.2.7/32": "@th,160,32 0xc0000207",
		"128.0.0.0/1": "@th,160,1 0x01", "fd02::/48": "@th,128,48 0xfd0200000000", "fd02:8000::/17": "@th,128,17 0x01fa05",
	} {
		p := netip.MustParsePrefix(prefix)
		f := families[0]
		if !p.Addr().Is4() {
			f = families[1]
		}
		got, want := strings.Split(f.innerSource(p), " "), strings.Split(want, " ")
		if len(got) != 2 || got[0] != want[0] || strings.TrimLeft(got[1][2:], "0") != strings.TrimLeft(want[1][2:], "0") {
			t.Errorf("%s: %q, want %q", prefix, got, want)
		}
	}
}

func TestNote(t *testing.T) {
	note := DroppedNote("east", Unexported, 7, &Example{Source: netip.MustParseAddr("10.1.0.5"), Destination: key("10.2.0.7:80", serviceport.TCP)})
	want := "7 packets of cluster east were dropped: no Service that is exported here serves them, for example 10.1.0.5 to TCP 10.2.0.7:80; " +
		"if they are meant to pass, export the Service, or set ClusterSet.spec.gateway.ingress to Any"
	if note != want {
		t.Errorf("the note is %q", note)
	}
}

// An example is of the reason that is told.
func TestExampleOf(t *testing.T) {
	example := func(from, to string) Example { return Example{netip.MustParseAddr(from), key(to, serviceport.TCP)} }
	d := Dropped{Examples: []Example{example("10.3.0.1", "10.2.0.7:80"), example("10.1.0.5", "10.2.0.7:80"), example("10.1.0.5", "203.0.113.9:80")}}
	east, own := []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}, []netip.Prefix{netip.MustParsePrefix("10.2.0.0/16")}
	for r, want := range map[Reason]*Example{Unexported: &d.Examples[1], Foreign: &d.Examples[2]} {
		if got := d.ExampleOf(r, east, own); got != want {
			t.Errorf("%s: the example is %v, want %v", r, got, want)
		}
	}
	if got := d.ExampleOf(Unexported, own, own); got != nil {
		t.Errorf("an example of a cluster of which nothing was dropped: %v", got)
	}
}

func TestCounterNames(t *testing.T) {
	for _, name := range []string{CounterName("east", Unexported), CounterName("", Source)} {
		cluster, reason, ok := ParseCounterName(name)
		if !ok || CounterName(cluster, reason) != name {
			t.Errorf("%s is read as %q, %q, %t", name, cluster, reason, ok)
		}
	}
	if _, _, ok := ParseCounterName("something else"); ok {
		t.Error("any name is read")
	}
}

func key(address string, protocol serviceport.Protocol) serviceport.Key {
	ap := netip.MustParseAddrPort(address)
	return serviceport.Key{Address: ap.Addr(), Protocol: protocol, Port: ap.Port()}
}
