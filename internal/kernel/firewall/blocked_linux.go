package firewall

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tombolo-net/tombolo/internal/kernel/nft"
)

// ErrBlocked says that chains of others drop packets that must pass this node.
var ErrBlocked = errors.New("a firewall of this node drops")

// errMayBeMeant says that a NetworkPolicy may be what drops packets.
var errMayBeMeant = errors.New("a firewall of this node, or a NetworkPolicy, drops")

// blockedError says of the passage who may drop it, and which rule admits it.
func (p Passage) blockedError(suspects []suspect) error {
	switch {
	case len(suspects) == 0 && p.Policies:
		return fmt.Errorf("%w %s in the hook %s by a rule", errMayBeMeant, p.What, p.Hook)
	case len(suspects) == 0:
		return fmt.Errorf("%w %s in the hook %s by a rule: find it with nft list ruleset, and admit them before it", ErrBlocked, p.What, p.Hook)
	}
	return fmt.Errorf("%w %s in the hook %s (%s): %s", ErrBlocked, p.What, p.Hook, suspects[0].name, suspects[0].admit(p))
}

// suspect is a chain that may drop what no rule of it admits.
type suspect struct {
	// name of the chain, and why it is one.
	name string
	// program is the one that adds a rule to it: iptables, ip6tables, iptables-legacy; empty: nft.
	program string
	// admitted says that it is a chain in which we admit passages ourselves.
	admitted bool
	// nft is the chain as nft names it: family, table and chain.
	nft string
}

// admit is the command that admits the passage there.
func (s suspect) admit(p Passage) string {
	if s.program != "" {
		return s.program + " -I " + p.iptables()
	}
	return "nft 'insert rule " + s.nft + " " + p.matches()[0] + " accept'"
}

// suspectsIn are the chains of a hook whose policy drops. Those of iptables-legacy count as well:
// only that program can read their policies.
func suspectsIn(hook string) ([]suspect, error) {
	var found []suspect
	for _, f := range []struct {
		name   string
		number uint8
	}{{"ip", unix.NFPROTO_IPV4}, {"ip6", unix.NFPROTO_IPV6}, {"inet", unix.NFPROTO_INET}} {
		chains, err := nft.AllChains(f.number)
		if err != nil {
			return nil, err
		}
		for _, c := range chains {
			if c.Hook != hook || !c.Drop {
				continue
			}
			s := suspect{nft: f.name + " " + c.Table + " " + c.Name, name: fmt.Sprintf("the policy of nftables' %s %s %s is drop", f.name, c.Table, c.Name)}
			if c.Table == iptablesTable && c.Name == strings.ToUpper(hook) && f.name != "inet" {
				s.admitted = true
				s.program = families[slices.IndexFunc(families[:], func(x family) bool { return x.nft == f.name })].iptables
				s.name = fmt.Sprintf("the policy of %s' %s is DROP", s.program, c.Name)
			}
			found = append(found, s)
		}
	}
	for _, f := range families {
		if legacyFilter(f) {
			program := strings.Replace(f.iptables, "tables", "tables-legacy", 1)
			found = append(found, suspect{program: program, name: program + " has rules in " + strings.ToUpper(hook)})
		}
	}
	return found, nil
}

// legacyFilter reports whether the filter table of the old iptables is there: its program makes it
// when it is first asked for it, and it cannot be removed.
func legacyFilter(f family) bool {
	names, err := os.ReadFile("/proc/net/" + f.nft + "_tables_names")
	return err == nil && slices.Contains(strings.Fields(string(names)), "filter")
}
