//go:build kernel

package transit

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tombolo-net/tombolo/gateway/wireguard"
	"github.com/tombolo-net/tombolo/internal/kernel/firewall"
	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// blocked is what the gateway's table tells at that second, in one text.
func blocked(t *testing.T, g *netns.Namespace, table *firewall.Table, second int) (text string) {
	t.Helper()
	g.Do(func() {
		errs, err := table.Blocked(time.Unix(int64(second), 0), Table(wireguard.Config{}, 7472))
		if err != nil {
			t.Fatal(err)
		}
		for _, err := range errs {
			if !errors.Is(err, firewall.ErrBlocked) {
				t.Errorf("%v is not ErrBlocked", err)
			}
		}
		if err := errors.Join(errs...); err != nil {
			text = err.Error()
		}
	})
	return text
}

// TestForwardDrops: what a chain of others drops between our devices is found, with the hook, the
// chain and the rule that admits it, from the traffic itself; that rule ends it.
func TestForwardDrops(t *testing.T) {
	c := newCrossing(t)
	c.serveSCTP()
	table := c.write(t, Table(wireguard.Config{}, 7472))[0]
	second := 0
	check := func(when, want string) (got string) {
		t.Helper()
		blocked(t, c.first, table, second)
		lost := c.exchange()
		second += 5
		if got = blocked(t, c.first, table, second); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%s: lost %v; it says %q, want %q", when, lost, got, want)
		}
		if (len(lost) > 0) != (want != "") {
			t.Errorf("%s: lost %v", when, lost)
		}
		second += 5
		return got
	}
	check("without firewalls", "")
	for _, wall := range []struct{ name, add, want, remove string }{
		{"a base chain with policy drop", "nft 'add table inet host; add chain inet host f { type filter hook forward priority 10; policy drop; }; add rule inet host f ct state established,related accept'",
			"in the hook forward (the policy of nftables' inet host f is drop): ", "nft delete table inet host"},
		{"a rule", "nft 'add table inet host; add chain inet host f { type filter hook forward priority -20; }; add rule inet host f reject'",
			"in the hook forward by a rule: find it with nft list ruleset", "nft delete table inet host"},
	} {
		c.first.Run("sh", "-c", wall.add)
		says := check(wall.name, wall.want)
		if _, remedy, _ := strings.Cut(says, "): "); remedy != "" {
			c.first.Run("sh", "-c", remedy)
			check(wall.name+", and the remedy", "")
		}
		c.first.Run("sh", "-c", wall.remove)
		check(wall.name+" removed", "")
	}
}
