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
	c.serveSCTP(t)
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

// docker, ufw and firewalld are rules such as those programs leave, in the words of
// iptables-restore.
const (
	docker = `*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -i docker0 ! -o docker0 -j ACCEPT
-A DOCKER-USER -j RETURN
COMMIT
`
	ufw = `*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:ufw-before-input - [0:0]
:ufw-before-forward - [0:0]
-A INPUT -j ufw-before-input
-A FORWARD -j ufw-before-forward
-A ufw-before-input -i lo -j ACCEPT
-A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A ufw-before-input -m conntrack --ctstate INVALID -j DROP
-A ufw-before-input -p tcp -m tcp --dport 22 -j ACCEPT
-A ufw-before-forward -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
COMMIT
`
	firewalld = `*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -i lo -j ACCEPT
-A INPUT -j REJECT
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -m conntrack --ctstate INVALID -j DROP
-A FORWARD -j REJECT
COMMIT
`
)

// restore loads rules into both families' filter tables, in the place of what is there. Those for
// IPv6 admit ICMPv6, as every firewall has to: without neighbour discovery a link is dead as soon as
// the kernel asks again who its neighbours are.
func restore(g *netns.Namespace, kind, rules string) {
	rules6 := strings.Replace(rules, "-A ", "-A INPUT -p ipv6-icmp -j ACCEPT\n-A ", 1)
	for program, rules := range map[string]string{"iptables-" + kind: rules, "ip6tables-" + kind: rules6} {
		g.Run("sh", "-c", program+"-restore <<'END'\n"+rules+"END\n")
	}
}

// TestFirewallsOfIptables: with the rules of usual firewalls, loaded before us or after, all that
// passes through the gateways passes, by rules of ours that iptables lists; somebody who loads his
// rules again finds them back; and without the table they are as they were.
func TestFirewallsOfIptables(t *testing.T) {
	c := newCrossing(t)
	c.serveSCTP(t)
	tunnels := wireguard.Config{Devices: []wireguard.Device{{ListenPort: 51820}, {ListenPort: 51822}}}
	for name, rules := range map[string]string{"docker": docker, "ufw": ufw, "firewalld": firewalld} {
		var before []string
		for _, g := range c.gateways() {
			restore(g, "nft", rules)
			before = append(before, g.Run("iptables-nft", "-S")+g.Run("ip6tables-nft", "-S"))
		}
		if lost := c.exchange(); len(lost) == 0 {
			t.Errorf("%s: nothing is lost without us", name)
		}
		tables := c.write(t, Table(tunnels, 7472))
		if lost := c.exchange(); len(lost) > 0 {
			t.Errorf("%s, then we: lost %v", name, lost)
		}
		for i, g := range c.gateways() {
			restore(g, "nft", rules)
			sync(t, g, tables[i], Table(tunnels, 7472))
			listed := g.Run("iptables-nft", "-S")
			for _, want := range []string{"-A FORWARD -i tombolo+ -o tombolo+ ", "-A INPUT -i tombolo+ -p udp -m udp --dport 7472 ",
				"-A INPUT -p udp -m udp --dport 51820 ", "-A INPUT -p udp -m udp --dport 51822 "} {
				if n := strings.Count(listed, want); n != 1 {
					t.Errorf("%s: iptables lists %q %d times:\n%s", name, want, n, listed)
				}
			}
			if listed := g.Run("ip6tables-nft", "-S"); !strings.Contains(listed, "-A FORWARD -i tombolo+ -o tombolo+ ") {
				t.Errorf("%s: ip6tables lists\n%s", name, listed)
			}
		}
		if lost := c.exchange(); len(lost) > 0 {
			t.Errorf("we, then %s: lost %v", name, lost)
		}
		for i, g := range c.gateways() {
			sync(t, g, tables[i], firewall.Config{})
			if after := g.Run("iptables-nft", "-S") + g.Run("ip6tables-nft", "-S"); after != before[i] {
				t.Errorf("%s, without us: before\n%s\nafter\n%s", name, before[i], after)
			}
		}
	}
}
