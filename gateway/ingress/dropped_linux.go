package ingress

import (
	"encoding/binary"
	"net/netip"

	"github.com/tombolo-net/tombolo/internal/kernel/firewall"
	"github.com/tombolo-net/tombolo/internal/kernel/nft"
	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
)

// Filter is the table in the caller's network namespace. It is not safe for concurrent use, but for
// Dropped.
type Filter struct{ *firewall.Table }

// New returns the filter. It does not touch the kernel yet. Its writes are counted together with those
// to other tables of this process; nil: they are counted alone.
func New(writes *nft.Writes) Filter { return Filter{firewall.New(firewall.IngressTable).Share(writes)} }

// Dropped reads the counters and examples: three netlink requests.
func (Filter) Dropped() (Dropped, error) {
	counters, err := nft.Counters(firewall.IngressTable)
	if err != nil || counters == nil {
		return Dropped{}, err
	}
	d := Dropped{Packets: make(map[string]uint64, len(counters))}
	for name, c := range counters {
		d.Packets[name] = c.Packets
	}
	for _, f := range families {
		keys, err := nft.Keys(firewall.IngressTable, "recent"+f.suffix)
		if err != nil {
			continue // made again at this moment
		}
		for _, key := range keys {
			if e, ok := f.example(key); ok {
				d.Examples = append(d.Examples, e)
			}
		}
	}
	return d, nil
}

// example is what a key of the set of examples says: source, destination, protocol, port.
func (f family) example(key string) (Example, bool) {
	size := 16
	if f.is4 {
		size = 4
	}
	if len(key) != 2*size+8 {
		return Example{}, false
	}
	source, _ := netip.AddrFromSlice([]byte(key[:size]))
	destination, _ := netip.AddrFromSlice([]byte(key[size : 2*size]))
	return Example{Source: source, Destination: serviceport.Key{
		Address: destination, Protocol: serviceport.Protocol(key[2*size]), Port: binary.BigEndian.Uint16([]byte(key[2*size+4:])),
	}}, true
}
