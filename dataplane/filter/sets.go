package filter

import (
	"net/netip"

	"github.com/tombolo-net/tombolo/internal/kernel/firewall"
	"github.com/tombolo-net/tombolo/internal/kernel/nft"
	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
)

// Endpoints are what one owner adds to the sets. The lists are in any order; duplicates do no harm.
type Endpoints struct {
	// Served ports of clusterset IPs; all others are refused.
	Served []serviceport.Key
	// Hairpin are the addresses of endpoints that may be pods of this node.
	Hairpin []netip.Addr
	// External are endpoints of this cluster that are no pods. They may not know the way to pods and to
	// other clusters, but they know the nodes.
	External []netip.Addr
	// Answering are the endpoints of other clusters from which UDP comes only to whom has asked, unless
	// it is for one that this cluster has Exported. Port zero stands for all ports of all protocols. With
	// none, none is refused.
	Answering, Exported []serviceport.Key
}

// Elements are those of the sets that have any, by the names of the sets.
func (e Endpoints) Elements() map[string][]string {
	elements := map[string][]string{}
	for _, f := range families {
		add := func(set string, keys []string) {
			if len(keys) > 0 {
				elements[set+f.suffix] = keys
			}
		}
		add("served", f.ports(e.Served))
		add("hairpin", f.addresses(e.Hairpin, 2))
		add("external", f.addresses(e.External, 1))
		add("answering", f.ports(withPort(e.Answering)))
		add("answering-hosts", f.addresses(hosts(e.Answering), 1))
		add("exported", f.ports(withPort(e.Exported)))
		add("exported-hosts", f.addresses(hosts(e.Exported), 1))
	}
	return elements
}

// sets are those of one family. Nodes come and go as elements, so that rules and counters stay.
func (in Input) sets(f family) []firewall.Set {
	nodes, self := in.Overlay.Nodes, in.Overlay.Self
	if in.Overlay.Port == 0 {
		nodes, self = nil, nil
	}
	endpoints := func(name, kind string, from map[string]firewall.Keys) firewall.Set {
		return firewall.Set{Name: name + f.suffix, Type: kind, Keys: from[name+f.suffix]}
	}
	address, port, udp := f.addressType, f.addressType+" . inet_proto . inet_service", in.Endpoints
	if in.Open {
		udp = nil
	}
	return []firewall.Set{
		endpoints("exported", port, udp),
		endpoints("exported-hosts", address, udp),
		endpoints("answering", port, udp),
		endpoints("answering-hosts", address, udp),
		endpoints("served", port, in.Endpoints),
		endpoints("hairpin", address+" . "+address, in.Endpoints),
		endpoints("external", address, in.Endpoints),
		{Name: "nodes" + f.suffix, Type: address, Keys: firewall.KeysOf(f.addresses(nodes, 1))},
		{Name: "self" + f.suffix, Type: address, Keys: firewall.KeysOf(f.addresses(self, 1))},
	}
}

// ports are the keys "address . protocol . port" of a family.
func (f family) ports(all []serviceport.Key) []string {
	k := keys{size: f.size() + 8}
	for _, p := range all {
		if p.Address.Is4() == f.is4 {
			k.bytes = nft.AppendService(k.bytes, p)
		}
	}
	return k.all()
}

// addresses are the keys of that many times the same address of a family.
func (f family) addresses(all []netip.Addr, times int) []string {
	k := keys{size: f.size() * times}
	for _, a := range all {
		for range times {
			if a.Is4() == f.is4 {
				k.bytes = append(k.bytes, a.AsSlice()...)
			}
		}
	}
	return k.all()
}

// size of an address in bytes.
func (f family) size() int {
	if f.is4 {
		return 4
	}
	return 16
}

// keys of one size, one after the other: there may be many.
type keys struct {
	size  int
	bytes []byte
}

// all are the keys, one by one.
func (k keys) all() []string {
	all := make([]string, 0, len(k.bytes)/k.size)
	for text := string(k.bytes); len(text) > 0; text = text[k.size:] {
		all = append(all, text[:k.size])
	}
	return all
}

// Served returns the addresses of the ports that a table in the kernel lets through, each at least
// once.
func Served(have firewall.State) (all []netip.Addr) {
	for _, f := range families {
		for key := range have.Elements["served"+f.suffix].All() {
			if a, ok := netip.AddrFromSlice([]byte(key[:min(f.size(), len(key))])); ok {
				all = append(all, a)
			}
		}
	}
	return all
}
