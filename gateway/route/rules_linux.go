package route

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// readRules adds the family's rules that are ours to the state.
func readRules(family Family, state *State) error {
	rules, err := dump(func() ([]netlink.Rule, error) { return netlink.RuleList(netlinkFamily(family)) })
	if err != nil {
		return fmt.Errorf("listing IPv%d rules: %w", family, err)
	}
	for _, r := range rules {
		switch {
		case r.Protocol != Protocol:
		case r.Priority == RulePriority && r.Table == Table:
			state.Rules = append(state.Rules, family)
		case r.Priority == BypassPriority && r.Table == unix.RT_TABLE_MAIN && r.Dst != nil && r.Dport != nil:
			state.Bypasses = append(state.Bypasses, netip.AddrPortFrom(prefix(r.Dst).Addr(), r.Dport.Start))
		}
	}
	return nil
}

func addRule(f Family) error {
	if err := add(rule(f)); err != nil {
		return fmt.Errorf("adding IPv%d rule for table %d: %w", f, Table, err)
	}
	return nil
}

func removeRule(f Family) error {
	if err := remove(rule(f)); err != nil {
		return fmt.Errorf("removing IPv%d rule for table %d: %w", f, Table, err)
	}
	return nil
}

func addBypass(b netip.AddrPort) error {
	if err := add(bypass(b)); err != nil {
		return fmt.Errorf("adding rule for the tunnel to %s: %w", b, err)
	}
	return nil
}

func removeBypass(b netip.AddrPort) error {
	if err := remove(bypass(b)); err != nil {
		return fmt.Errorf("removing rule for the tunnel to %s: %w", b, err)
	}
	return nil
}

// add adds the rule; one that is there already is no error.
func add(r *netlink.Rule) error { return ignoring(netlink.RuleAdd(r), unix.EEXIST) }

// remove deletes the rule; one that is gone already is no error.
func remove(r *netlink.Rule) error { return ignoring(netlink.RuleDel(r), unix.ENOENT) }

func ignoring(err, harmless error) error {
	if errors.Is(err, harmless) {
		return nil
	}
	return err
}

func rule(f Family) *netlink.Rule {
	r := netlink.NewRule()
	r.Family, r.Priority, r.Table, r.Protocol = netlinkFamily(f), RulePriority, Table, Protocol
	return r
}

// bypass is the rule for what is sent there. It also holds for the reverse look-up of what comes from there, for which
// the kernel swaps addresses and ports (__fib_validate_source in net/ipv4/fib_frontend.c).
func bypass(b netip.AddrPort) *netlink.Rule {
	r := netlink.NewRule()
	r.Family, r.Priority, r.Table, r.Protocol = netlinkFamily(familyOf(b.Addr())), BypassPriority, unix.RT_TABLE_MAIN, Protocol
	r.Dst, r.IPProto = ipNet(netip.PrefixFrom(b.Addr(), b.Addr().BitLen())), unix.IPPROTO_UDP
	r.Dport = netlink.NewRulePortRange(b.Port(), b.Port())
	return r
}
