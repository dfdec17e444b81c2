package nftables

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
)

// TableName is the name of the table, of the family inet.
const TableName = "tombolo-services"

// Layout is what the maps hold for one service.
type Layout struct {
	// Chain is where map `services` leads a new flow: to a chain that draws a slot, or by way of the
	// client's affinity to the one that map `sticky` leads to, or to the one that refuses it.
	Chain string
	// Sticky is the chain that draws the slot of a client without affinity yet; empty for a service
	// without affinity.
	Sticky string
	// Remember is the chain that keeps which endpoint a client got; empty for a service without
	// affinity.
	Remember string
	// Slots are the endpoints by slot. In the kernel's there may be zero ones, where the slot has
	// none.
	Slots []netip.AddrPort
}

// equal reports whether nothing needs to be written.
func (l Layout) equal(other Layout) bool {
	if l.Chain != other.Chain || l.Sticky != other.Sticky || l.Remember != other.Remember || len(l.Slots) != len(other.Slots) {
		return false
	}
	for i, endpoint := range l.Slots {
		if endpoint != other.Slots[i] {
			return false
		}
	}
	return true
}

// offers reports whether a new flow may get the endpoint.
func (l Layout) offers(endpoint netip.AddrPort) bool {
	for _, e := range l.Slots {
		if e == endpoint {
			return true
		}
	}
	return false
}

// layout of the service under that key.
func (s Service) layout(key Key) Layout {
	slots := s.slots(key)
	if len(slots) == 0 {
		return Layout{Chain: refuseChain}
	}
	f := familyOf(key.Address)
	draw := schedulers[s.Scheduler].prefix + f.suffix + "-" + strconv.Itoa(len(slots))
	seconds := int64(s.Affinity / time.Second)
	if seconds <= 0 {
		return Layout{Chain: draw, Slots: slots}
	}
	return Layout{Chain: stickyChain + f.suffix, Sticky: draw, Slots: slots,
		Remember: fmt.Sprintf("%s%s-%d", rememberChain, f.suffix, seconds)}
}

// The names of the chains; some have the family or more at their end.
const (
	preroutingChain         = "prerouting"
	outputChain             = "output"
	refuseChain             = "refuse"
	stickyChain             = "sticky"
	rememberChain           = "remember"
	rememberPreroutingChain = "remember-prerouting"
	rememberOutputChain     = "remember-output"
)

// chains are the names of the chains that the layout needs beside the fixed ones.
func (l Layout) chains() []string {
	names := make([]string, 0, 4)
	for _, name := range []string{l.Chain, l.Sticky, l.Remember} {
		if name != "" && name != refuseChain && !strings.HasPrefix(name, stickyChain) {
			names = append(names, name)
		}
	}
	if l.Remember != "" {
		names = append(names, rememberPreroutingChain, rememberOutputChain)
	}
	return names
}

// fixedChains are there in every table.
var fixedChains = []string{refuseChain, stickyChain + "4", stickyChain + "6", preroutingChain, outputChain}

// chain is a base chain, or one that others jump to if it has no hook.
type chain struct {
	name, kind, hook string
	priority         int
	rules            []string
}

// The priorities. The kernel translates addresses at -100 (NF_IP_PRI_NAT_DST) and asks the chains
// in the order of their priorities: the first that translates is the last that is asked.
// kube-proxy's are at -100, and those of dataplane/filter that keep a destination as it is, for
// IPVS, at -101: they come after. What a client got is looked at after that.
const (
	natPriority      = -102
	rememberPriority = -99
)

// chainFor is what the chain of that name holds. It returns false for a name that no chain of ours
// has.
func chainFor(name string) (chain, bool) {
	switch name {
	case preroutingChain, outputChain:
		return chain{name, "nat", name, natPriority, dispatchRules()}, true
	case rememberPreroutingChain, rememberOutputChain:
		return chain{name, "filter", strings.TrimPrefix(name, rememberChain+"-"), rememberPriority, rememberRules()}, true
	case refuseChain:
		return chain{name: name, rules: []string{"meta l4proto tcp reject with tcp reset", "reject with icmpx type port-unreachable"}}, true
	}
	if f, scheduler, n, ok := parseDraw(name); ok {
		return chain{name: name, rules: drawRules(f, schedulers[scheduler].slot, n)}, true
	}
	for _, f := range families {
		if name == stickyChain+f.suffix {
			return chain{name: name, rules: stickyRules(f)}, true
		}
		if bare, n := parseName(name); bare == rememberChain+f.suffix && n > 0 {
			return chain{name: name, rules: updateRules(f, n)}, true
		}
	}
	return chain{}, false
}

// parseName splits a name that ends with a number; zero if it does not.
func parseName(name string) (bare string, n int) {
	bare, number, _ := strings.Cut(name, "-")
	n, err := strconv.Atoi(number)
	if err != nil || n < 0 || strconv.Itoa(n) != number {
		return name, 0
	}
	return bare, n
}

// parseDraw splits the name of a chain that draws one of n slots.
func parseDraw(name string) (f family, s Scheduler, n int, ok bool) {
	bare, n := parseName(name)
	for _, f := range families {
		for s, scheduler := range schedulers {
			if bare == scheduler.prefix+f.suffix && n > 0 && n <= MaxSlots {
				return f, Scheduler(s), n, true
			}
		}
	}
	return family{}, 0, 0, false
}

// dispatchRules lead new flows to their service's chain.
func dispatchRules() (rules []string) {
	for _, f := range families {
		rules = append(rules, f.name+" daddr . meta l4proto . th dport vmap @services"+f.suffix)
	}
	return rules
}

// stickyRules send a client where it went before, or let it draw.
func stickyRules(f family) []string {
	return []string{
		"dnat " + f.name + " to " + f.name + " saddr . " + f.name + " daddr . meta l4proto . th dport map @affinity" + f.suffix,
		f.name + " daddr . meta l4proto . th dport vmap @sticky" + f.suffix,
	}
}

// drawRules draw one of n slots. The second rule is for a slot that is not there: for an instant
// while the number of slots shrinks, or if somebody deleted it. It uses the first slot.
func drawRules(f family, slot func(f family, n int) string, n int) (rules []string) {
	for _, s := range []string{slot(f, n), "numgen random mod 1"} {
		rules = append(rules, "dnat "+f.name+" to "+f.name+" daddr . meta l4proto . th dport . "+s+" map @slots"+f.suffix)
	}
	return rules
}

// rememberRules lead the first packet of a flow that was sent on to the chain that keeps where. nft
// 1.0.6 knows the type of a flow's original port only after a match of the protocol.
func rememberRules() (rules []string) {
	for _, f := range families {
		for _, protocol := range serviceport.Protocols() {
			rules = append(rules, "ct state new ct status dnat meta l4proto "+protocol.NFT()+
				" ct original "+f.name+" daddr . meta l4proto . ct original proto-dst vmap @remember"+f.suffix)
		}
	}
	return rules
}

// updateRules keep which endpoint a client got, for so many seconds from now.
func updateRules(f family, seconds int) (rules []string) {
	for _, protocol := range serviceport.Protocols() {
		rules = append(rules, fmt.Sprintf("meta l4proto %s update @affinity%s { %s saddr . ct original %s daddr . meta l4proto . "+
			"ct original proto-dst timeout %ds : %s daddr . th dport }",
			protocol.NFT(), f.suffix, f.name, f.name, seconds, f.name))
	}
	return rules
}

// hashSeed is constant, so that clients keep their slots when the rules are written again.
const hashSeed = 0x746f6d62

type family struct {
	name, suffix string
	addressType  datatype
	is4          bool
}

var families = [...]family{
	{name: "ip", suffix: "4", addressType: ipv4Address, is4: true},
	{name: "ip6", suffix: "6", addressType: ipv6Address},
}

func familyOf(a netip.Addr) family {
	if a.Is4() {
		return families[0]
	}
	return families[1]
}
