package nft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// Chain is a chain of a table.
type Chain struct {
	Table, Name string
	// Type, such as "filter", and Hook, such as "forward", are empty if the chain has no hook.
	Type, Hook string
	Priority   int
	// Drop says that the chain's policy drops what no rule decides.
	Drop bool
}

// hooks are the names of the hooks of IPv4 and IPv6, by number (linux/netfilter.h).
var hooks = [...]string{"prerouting", "input", "forward", "output", "postrouting"}

// Chains are the chains of an inet table; nil if there is no such table.
func Chains(table string) ([]Chain, error) {
	all, err := AllChains(unix.NFPROTO_INET)
	return slices.DeleteFunc(all, func(c Chain) bool { return c.Table != table }), err
}

// AllChains are the chains of all tables of a family, such as NFPROTO_INET.
func AllChains(family uint8) ([]Chain, error) {
	messages, err := ask(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETCHAIN, unix.NLM_F_DUMP, family, nil)
	if err != nil {
		return nil, fmt.Errorf("listing chains of nftables: %w", err)
	}
	chains := make([]Chain, 0, len(messages))
	for _, m := range messages {
		chains = append(chains, chainIn(m))
	}
	return chains, nil
}

func chainIn(m []byte) Chain {
	c := Chain{Table: Text(Attribute(m, unix.NFTA_CHAIN_TABLE)), Name: Text(Attribute(m, unix.NFTA_CHAIN_NAME))}
	hook := Attribute(m, unix.NFTA_CHAIN_HOOK)
	if hook == nil {
		return c
	}
	c.Type = Text(Attribute(m, unix.NFTA_CHAIN_TYPE))
	c.Priority = int(int32(number(Attribute(hook, unix.NFTA_HOOK_PRIORITY))))
	if n := number(Attribute(hook, unix.NFTA_HOOK_HOOKNUM)); n < uint64(len(hooks)) {
		c.Hook = hooks[n]
	}
	policy := Attribute(m, unix.NFTA_CHAIN_POLICY)
	c.Drop = policy != nil && number(policy) == 0 // NF_DROP
	return c
}

// Rule is a rule of a chain.
type Rule struct {
	Chain, Comment string
	// Handle is the kernel's number of it.
	Handle uint64
}

// Rules are the rules of a table of a family, or of one of its chains, in their order; nil if there
// is no such table.
func Rules(family uint8, table, chain string) ([]Rule, error) {
	selector := AppendText(nil, unix.NFTA_RULE_TABLE, table)
	if chain != "" {
		selector = AppendText(selector, unix.NFTA_RULE_CHAIN, chain)
	}
	messages, err := ask(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETRULE, unix.NLM_F_DUMP, family, selector)
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing rules of table %s: %w", table, err)
	}
	rules := make([]Rule, 0, len(messages))
	for _, m := range messages {
		rules = append(rules, Rule{
			Chain: Text(Attribute(m, unix.NFTA_RULE_CHAIN)), Comment: commentIn(Attribute(m, unix.NFTA_RULE_USERDATA)),
			Handle: number(Attribute(m, unix.NFTA_RULE_HANDLE)),
		})
	}
	return rules, nil
}

// Comments are the comments of a table's rules, by their chains, in the order of the rules. A rule
// without one has an empty comment.
func Comments(table string) (map[string][]string, error) {
	rules, err := Rules(unix.NFPROTO_INET, table, "")
	comments := map[string][]string{}
	for _, rule := range rules {
		comments[rule.Chain] = append(comments[rule.Chain], rule.Comment)
	}
	return comments, err
}

// commentIn is the comment in what nft keeps beside a rule: pieces of a kind, a length and a value,
// of which kind zero is the comment.
func commentIn(userdata []byte) string {
	for len(userdata) >= 2 {
		kind, size := userdata[0], int(userdata[1])
		if size > len(userdata)-2 {
			break
		}
		if kind == 0 {
			return Text(userdata[2 : 2+size])
		}
		userdata = userdata[2+size:]
	}
	return ""
}

// Counter is how much a counter has counted since it was made.
type Counter struct{ Packets, Bytes uint64 }

// Counters are the counters of an inet table, by name. It costs one netlink request.
func Counters(table string) (map[string]Counter, error) {
	selector := AppendText(nil, unix.NFTA_OBJ_TABLE, table)
	selector = AppendAttribute(selector, unix.NFTA_OBJ_TYPE, binary.BigEndian.AppendUint32(nil, unix.NFT_OBJECT_COUNTER)...)
	objects, err := List(unix.NFT_MSG_GETOBJ, selector)
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing counters of table %s: %w", table, err)
	}
	counters := map[string]Counter{}
	for _, o := range objects {
		data := Attribute(o, unix.NFTA_OBJ_DATA)
		counters[Text(Attribute(o, unix.NFTA_OBJ_NAME))] = Counter{
			Packets: number(Attribute(data, unix.NFTA_COUNTER_PACKETS)), Bytes: number(Attribute(data, unix.NFTA_COUNTER_BYTES)),
		}
	}
	return counters, nil
}

// number is the value of an attribute that holds a number of four or eight bytes; zero for another.
func number(value []byte) uint64 {
	switch len(value) {
	case 4:
		return uint64(binary.BigEndian.Uint32(value))
	case 8:
		return binary.BigEndian.Uint64(value)
	}
	return 0
}
