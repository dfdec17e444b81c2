//go:build e2e

package hostile

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
)

// dscp marks the packets of attacks (RFC 2474; nobody else's packets have it). Their IP identification,
// or their flow label, is the attack's number.
const dscp = 63

// firstNumber is the number of the first attack.
const firstNumber = 21000

// witness is a table of the victim's nodes that remembers the numbers of packets: of those that came, before
// anything else has looked at them, and of those that were let through, after everything else has. A packet is
// let through if it comes to something on the node, or leaves it; what goes from node to node does not count.
const witness = `
add table inet witness
delete table inet witness
table inet witness {
	set came { typeof ip id; size 4096; flags dynamic; }
	set through { typeof ip id; size 4096; flags dynamic; }
	set came6 { typeof ip6 flowlabel; size 4096; flags dynamic; }
	set through6 { typeof ip6 flowlabel; size 4096; flags dynamic; }
	chain first { type filter hook prerouting priority -500; ip dscp 63 add @came { ip id }; ip6 dscp 63 add @came6 { ip6 flowlabel }; }
	chain out {
		type filter hook postrouting priority 500;
		oifname != "tombolo*" ip dscp 63 add @through { ip id }
		oifname != "tombolo*" ip6 dscp 63 add @through6 { ip6 flowlabel }
	}
	chain in { type filter hook input priority 500; ip dscp 63 add @through { ip id }; ip6 dscp 63 add @through6 { ip6 flowlabel }; }
}
`

// watch makes the witness on each of the victim's nodes, or empties it.
func (s *site) watch(t *testing.T) {
	t.Helper()
	for _, node := range []string{s.gateway[victim], s.worker[victim]} {
		if _, err := s.OnNode(t.Context(), node, "nft", witness); err != nil {
			t.Fatal(err)
		}
	}
}

// unwatch removes the witness.
func (s *site) unwatch(t *testing.T) {
	t.Helper()
	for _, node := range []string{s.gateway[victim], s.worker[victim]} {
		if _, err := s.OnNode(context.WithoutCancel(t.Context()), node, "nft", "add table inet witness; delete table inet witness"); err != nil {
			t.Error(err)
		}
	}
}

// fate is what became of a packet on the victim's nodes.
type fate struct{ came, through bool }

// fates is what the witnesses remember, by the packet's number.
func (s *site) fates(t *testing.T) map[int]fate {
	t.Helper()
	all := map[int]fate{}
	for _, node := range []string{s.gateway[victim], s.worker[victim]} {
		out, err := s.OnNode(t.Context(), node, "nft", "--json", "list", "table", "inet", "witness")
		if err != nil {
			t.Fatal(err)
		}
		var list struct {
			NFTables []struct {
				Set struct {
					Name string `json:"name"`
					Elem []int  `json:"elem"`
				} `json:"set"`
			} `json:"nftables"`
		}
		if err := json.Unmarshal([]byte(out), &list); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		for _, one := range list.NFTables {
			name := strings.TrimSuffix(one.Set.Name, "6")
			for _, number := range one.Set.Elem {
				before := all[number]
				all[number] = fate{came: before.came || name == "came", through: before.through || name == "through"}
			}
		}
	}
	return all
}
