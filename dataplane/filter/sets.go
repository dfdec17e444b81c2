package filter

import (
	"net/netip"

	"github.com/tombolo-net/tombolo/internal/kernel/firewall"
	"github.com/tombolo-net/tombolo/internal/kernel/nft"
	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
)

// sets are those of one family. Nodes come and go as elements, so that rules and counters stay.
func (in Input) sets(f family) []firewall.Set {
	nodes, self := in.Overlay.Nodes, in.Overlay.Self
	if in.Overlay.Port == 0 {
		nodes, self = nil, nil
	}
	ports := f.addressType + " . inet_proto . inet_service"
	exported, exportedHosts := split(in.Exported)
	answering, answeringHosts := split(in.Answering)
	return []firewall.Set{
		{Name: "exported" + f.suffix, Type: ports, Keys: f.ports(exported)},
		{Name: "exported-hosts" + f.suffix, Type: f.addressType, Keys: f.hosts(exportedHosts)},
		{Name: "answering" + f.suffix, Type: ports, Keys: f.ports(answering)},
		{Name: "answering-hosts" + f.suffix, Type: f.addressType, Keys: f.hosts(answeringHosts)},
		{Name: "served" + f.suffix, Type: ports, Keys: f.ports(in.Served)},
		{Name: "hairpin" + f.suffix, Type: f.addressType + " . " + f.addressType, Keys: f.addresses(in.Hairpin, 2)},
		{Name: "external" + f.suffix, Type: f.addressType, Keys: f.addresses(in.External, 1)},
		{Name: "nodes" + f.suffix, Type: f.addressType, Keys: f.addresses(nodes, 1)},
		{Name: "self" + f.suffix, Type: f.addressType, Keys: f.addresses(self, 1)},
	}
}

// ports are the keys "address . protocol . port" of a family.
func (f family) ports(all []serviceport.Key) firewall.Keys {
	k := keys{size: f.size() + 8}
	for _, p := range all {
		if p.Address.Is4() == f.is4 {
			k.bytes = nft.AppendService(k.bytes, p)
		}
	}
	return firewall.KeysOf(k.all())
}

// hosts are the keys of the addresses of a family.
func (f family) hosts(all []serviceport.Key) firewall.Keys {
	addresses := make([]netip.Addr, 0, len(all))
	for _, k := range all {
		addresses = append(addresses, k.Address)
	}
	return f.addresses(addresses, 1)
}

// addresses are the keys of that many times the same address of a family.
func (f family) addresses(all []netip.Addr, times int) firewall.Keys {
	k := keys{size: f.size() * times}
	for _, a := range all {
		for range times {
			if a.Is4() == f.is4 {
				k.bytes = append(k.bytes, a.AsSlice()...)
			}
		}
	}
	return firewall.KeysOf(k.all())
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
