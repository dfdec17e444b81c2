package filter

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
)

// unasked is the counter of packets from other clusters' endpoints that answer nothing.
const unasked = "unasked"

// answerRules look at UDP that comes from other clusters and belongs to no flow. A gateway admits what
// comes from an endpoint as an answer, since it remembers no questions. The node of the pod has
// seen the question. What only passes a gateway is left alone: its question may have passed another
// one.
func answerRules() []string {
	return []string{"iifname " + ourDevices + " meta l4proto 17 ct state new fib daddr oifname != " + ourDevices + " jump unasked"}
}

// unaskedRules drop what comes from where answers come from, and is for no endpoint of this cluster
// that others may reach.
func unaskedRules() (rules []string) {
	for _, f := range families {
		rules = append(rules,
			f.name+" daddr . meta l4proto . th dport @exported"+f.suffix+" return",
			f.name+" daddr @exported-hosts"+f.suffix+" return",
			fmt.Sprintf("%s saddr . meta l4proto . th sport @answering%s counter name %q drop", f.name, f.suffix, unasked),
			fmt.Sprintf("%s saddr @answering-hosts%s counter name %q drop", f.name, f.suffix, unasked))
	}
	return rules
}

// withPort are the endpoints of UDP with a port.
func withPort(all []serviceport.Key) []serviceport.Key {
	return slices.DeleteFunc(slices.Clone(all), func(k serviceport.Key) bool { return k.Port == 0 || k.Protocol != serviceport.UDP })
}

// hosts are the addresses of the endpoints of which all ports count.
func hosts(all []serviceport.Key) (addresses []netip.Addr) {
	for _, k := range all {
		if k.Port == 0 {
			addresses = append(addresses, k.Address)
		}
	}
	return addresses
}
