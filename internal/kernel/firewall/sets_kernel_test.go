//go:build kernel

package firewall

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// keys are IPv4 addresses as elements of a set.
func keys(addresses ...string) Keys {
	var all []string
	for _, a := range addresses {
		all = append(all, string(netip.MustParseAddr(a).AsSlice()))
	}
	return KeysOf(all)
}

// admitting admits what comes from some sources, and keeps the last of the others.
func admitting(sources ...string) Config {
	return Config{
		Counters: []string{"refused"},
		Sets: []Set{
			{Name: "sources", Type: "ipv4_addr", Keys: keys(sources...)},
			{Name: "recent", Type: "ipv4_addr", Size: 4, Timeout: time.Minute},
		},
		Chains: []Chain{
			{Name: "refuse", Rules: []string{"add @recent { ip saddr }", `counter name "refused" drop`}},
			{Name: "in", Type: "filter", Hook: "input", Priority: -310, Rules: []string{"ip saddr @sources accept", `iifname "lo" goto refuse`}},
		},
	}
}

// pings tells whether an echo from the source is answered.
func pings(ns *netns.Namespace, source string) bool {
	_, err := ns.Try("busybox", "ping", "-c", "1", "-W", "1", "-I", source, "127.0.0.1")
	return err == nil
}

// TestSets: elements are as wanted after any damage, rules change without losing elements or counts,
// and what rules have added stays.
func TestSets(t *testing.T) {
	ns := netns.New(t)
	table := New("ours")
	listed := func(what ...string) string { return ns.Run("nft", append([]string{"list"}, what...)...) }
	want := admitting("127.0.0.1", "127.0.0.2")
	for _, damage := range []string{"", "flush set inet ours sources", "add element inet ours sources { 10.0.0.1 }",
		"delete element inet ours sources { 127.0.0.2 }", "flush chain inet ours in", "delete table inet ours", "flush ruleset",
		"flush chain inet ours in; delete set inet ours sources", "add set inet ours more { type ipv4_addr; }",
		"flush chain inet ours in; delete set inet ours sources; add set inet ours sources { type ipv6_addr; }"} {
		if damage != "" {
			ns.Run("nft", damage)
		}
		if change := table.mustSync(t, ns, want); change.Empty() {
			t.Errorf("after %q: nothing changed", damage)
		}
		for _, who := range []*Table{table, New("ours")} {
			if change := who.mustSync(t, ns, want); !change.Empty() {
				t.Errorf("after %q: a second pass changed the table: %+v", damage, change)
			}
		}
		if got := listed("set", "inet", "ours", "sources"); !strings.Contains(got, "127.0.0.1, 127.0.0.2") || strings.Contains(got, "10.0.0.1") {
			t.Errorf("after %q: %s", damage, got)
		}
	}
	if !pings(ns, "127.0.0.2") || pings(ns, "127.0.0.3") {
		t.Fatal("the set does not say who is admitted")
	}
	if change := table.mustSync(t, ns, admitting("127.0.0.1", "127.0.0.3")); change.Replace || change.Empty() {
		t.Errorf("another element: %+v", change)
	}
	if pings(ns, "127.0.0.2") || !pings(ns, "127.0.0.3") {
		t.Error("the new element does not count")
	}
	other := admitting("127.0.0.3", "127.0.0.4")
	other.Chains[1].Priority, other.Chains[1].Rules = -320, append(other.Chains[1].Rules, "meta l4proto 253 drop")
	if change := table.mustSync(t, ns, other); !change.Replace {
		t.Errorf("other rules: %+v", change)
	}
	if change := New("ours").mustSync(t, ns, other); !change.Empty() {
		t.Errorf("a second pass: %+v", change)
	}
	if got := listed("counter", "inet", "ours", "refused"); !strings.Contains(got, "packets 2 ") {
		t.Errorf("the counter is not kept: %s", got)
	}
	if got := listed("set", "inet", "ours", "recent"); !strings.Contains(got, "127.0.0.2") {
		t.Errorf("what rules had added is not kept: %s", got)
	}
	if change := table.mustSync(t, ns, Config{}); change.Empty() || ns.Run("nft", "list", "tables") != "" {
		t.Errorf("not removed: %s", ns.Run("nft", "list", "tables"))
	}
}
