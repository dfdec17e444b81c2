package ingress

import (
	"github.com/tombolo-net/tombolo/internal/kernel/firewall"
	"github.com/tombolo-net/tombolo/internal/kernel/nft"
)

// setName is the name of a set of the sender's own: prefix, "-to-" and the cluster. A cluster ID may
// begin with a digit and hold dots, which a name of nft may not begin with, but may hold.
func (s Sender) setName(prefix string, f family) string {
	return prefix + f.suffix + "-to-" + string(s.Cluster)
}

// sets hold what only some senders may reach, this one among them: only is Exported, as elements.
func (s Sender) sets(only endpoints) (sets []firewall.Set) {
	for _, f := range families {
		if keys := only.ports[f.index]; len(keys) > 0 {
			sets = append(sets, firewall.Set{Name: s.setName("exported", f), Type: f.address + " . inet_proto . inet_service", Keys: keys})
		}
		if keys := only.hosts[f.index]; len(keys) > 0 {
			sets = append(sets, firewall.Set{Name: s.setName("exported-hosts", f), Type: f.address, Keys: keys})
		}
	}
	return sets
}

// rules admit that.
func (s Sender) rules(f family, only endpoints) (rules []string) {
	prefixes := f.of(s.Prefixes)
	if len(prefixes) == 0 {
		return nil
	}
	from := f.name + " saddr " + nft.Set(prefixes) + " "
	if len(only.ports[f.index]) > 0 {
		rules = append(rules, from+f.name+" daddr . meta l4proto . th dport @"+s.setName("exported", f)+" accept")
	}
	if len(only.hosts[f.index]) > 0 {
		rules = append(rules, from+f.name+" daddr @"+s.setName("exported-hosts", f)+" accept")
	}
	return rules
}
