//go:build kernel

package firewall

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tombolo-net/tombolo/internal/kernel/nft"
	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// counting counts what comes in and goes through a chain without a hook, of two packets of which it
// drops one.
var counting = Config{
	Counters: []string{"seen", "never"},
	Chains: []Chain{
		{Name: "inner", Rules: []string{"udp dport 9 drop"}},
		{Name: "in", Type: "filter", Hook: "input", Priority: -300, Rules: []string{`iifname "lo" meta l4proto udp counter name "seen"`, "jump inner"}},
		{Name: "out", Type: "nat", Hook: "postrouting", Priority: 95},
	},
}

func (t *Table) mustSync(tb testing.TB, ns *netns.Namespace, want Config) (change Change) {
	tb.Helper()
	ns.Do(func() {
		var err error
		if change, err = t.Sync(tb.Context(), want); err != nil {
			tb.Fatal(err)
		}
	})
	return change
}

// TestTable: the table is made once, made again after any damage, adopted by another process, and
// removed without touching others.
func TestTable(t *testing.T) {
	ns := netns.New(t)
	ns.Run("nft", "add table inet other; add chain inet other c { type filter hook input priority 0; policy drop; }")
	table := New("ours")
	for _, damage := range []string{"", "flush ruleset", "delete table inet ours", "flush chain inet ours in", "delete chain inet ours out",
		"insert rule inet ours in udp dport 7 drop", "add chain inet ours more", "delete counter inet ours never",
		"delete chain inet ours out; add chain inet ours out { type nat hook postrouting priority 96; }"} {
		if damage != "" {
			ns.Run("nft", damage)
		}
		if change := table.mustSync(t, ns, counting); change.Empty() {
			t.Errorf("after %q: nothing changed", damage)
		}
		for _, who := range []*Table{table, New("ours")} {
			if change := who.mustSync(t, ns, counting); !change.Empty() {
				t.Errorf("after %q: a second pass changed the table", damage)
			}
		}
	}
	listed := ns.Run("nft", "list", "table", "inet", "ours")
	for _, want := range []string{"type filter hook input priority raw", "type nat hook postrouting priority srcnat - 5", `counter name "seen"`, "udp dport 9 drop"} {
		if !strings.Contains(listed, want) {
			t.Errorf("nft lists no %q:\n%s", want, listed)
		}
	}
	ns.Run("nft", "add table inet other; add rule inet ours in udp dport 7 drop")
	if change := table.mustSync(t, ns, Config{}); change.Empty() {
		t.Error("removing: nothing changed")
	}
	if left := ns.Run("nft", "list", "tables"); left != "table inet other\n" {
		t.Errorf("left: %q, want the table of others", left)
	}
	if change := table.mustSync(t, ns, Config{}); !change.Empty() {
		t.Error("removing what is gone: it changed")
	}
}

// TestCounters: the counters are as nft shows them.
func TestCounters(t *testing.T) {
	ns := netns.New(t)
	New("ours").mustSync(t, ns, counting)
	ns.Run("sh", "-c", "for i in 1 2 3; do echo x | socat - UDP4:127.0.0.1:9; done")
	ns.Do(func() {
		counters, err := nft.Counters("ours")
		if err != nil || len(counters) != 2 {
			t.Fatalf("%v, %v", counters, err)
		}
		if n := counters["seen"].Packets; n != 3 || counters["seen"].Bytes != 3*30 || counters["never"].Packets != 0 {
			t.Errorf("%+v, want 3 packets of 30 bytes:\n%s", counters, ns.Run("nft", "list", "counters"))
		}
		if counters, err := nft.Counters("absent"); err != nil || len(counters) != 0 {
			t.Errorf("of a table that is not there: %v, %v", counters, err)
		}
	})
	if listed := ns.Run("nft", "list", "counter", "inet", "ours", "seen"); !strings.Contains(listed, "packets 3 bytes 90") {
		t.Errorf("nft: %s", listed)
	}
}

// TestReadWhileItGoes: the table is read while another process removes it and makes it again, as when
// an agent leaves and its cleanup runs.
func TestReadWhileItGoes(t *testing.T) {
	ns := netns.New(t)
	want := Config{}
	for i := range 8 {
		want.Sets = append(want.Sets, Set{Name: fmt.Sprint("s", i), Type: "ipv4_addr", Keys: KeysOf([]string{"\x0a\x00\x00\x01"})})
	}
	other := New("ours")
	ns.ReadWhile(func() {
		for _, config := range []Config{want, {}} {
			if _, err := other.Sync(t.Context(), config); err != nil {
				t.Error(err)
			}
		}
	}, func() (bool, error) {
		state, err := New("ours").Read(t.Context())
		return len(state.Elements) > 0, err
	})
}
