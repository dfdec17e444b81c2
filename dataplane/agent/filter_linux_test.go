package agent

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/tombolo-net/tombolo/dataplane/filter"
	"github.com/tombolo-net/tombolo/dataplane/plan"
	"github.com/tombolo-net/tombolo/internal/kernel/firewall"
	"github.com/tombolo-net/tombolo/internal/kernel/nft"
	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
)

// filtered is what the filter has of a ServiceImport.
type filtered struct {
	services []plan.VirtualService
	udp      plan.UDP
	external []netip.Addr
}

// put gives it to the filter, as a pass does.
func (i filtered) put(f *filterTable, name types.NamespacedName) {
	f.replace(f.wanted.Put(name, i.services))
	f.putImport(name, i.udp, i.external)
}

// anyFiltered has few addresses, so that several ServiceImports share some.
func anyFiltered(r *rand.Rand) (i filtered) {
	address := func() netip.Addr {
		if r.IntN(3) == 0 {
			return netip.AddrFrom16([16]byte{0: 0xfd, 15: byte(r.IntN(4))})
		}
		return netip.AddrFrom4([4]byte{10, 1, 0, byte(r.IntN(4))})
	}
	for n := range uint16(r.IntN(3)) {
		v := plan.VirtualService{Key: plan.Key{Address: netip.AddrFrom4([4]byte{244, 0, 0, byte(r.IntN(3))}), Protocol: serviceport.UDP, Port: 53 + n}}
		for range r.IntN(3) {
			v.Destinations = append(v.Destinations, plan.Destination{Address: address(), Port: 8080, Hairpin: r.IntN(2) == 0})
		}
		i.services = append(i.services, v)
	}
	for range r.IntN(4) {
		i.udp.Imported = append(i.udp.Imported, serviceport.Key{Address: address(), Protocol: serviceport.UDP, Port: uint16(r.IntN(3))})
		i.udp.Exported = append(i.udp.Exported, serviceport.Key{Address: address(), Protocol: serviceport.UDP, Port: uint16(r.IntN(3))})
		i.external = append(i.external, address())
	}
	return i
}

// After any changes the filter is the one that an agent plans that has just started, and an agent that
// has nothing to write knows that.
func TestFilterFollows(t *testing.T) {
	network := plan.Network{VIPs: []netip.Prefix{netip.MustParsePrefix("244.0.0.0/16")}}
	begin := func() *filterTable {
		f := newFilterTable(&plan.Table{}, &vipGate{}, &nft.Writes{})
		f.setNetwork(network)
		return f
	}
	planned := func(f *filterTable) firewall.Config {
		f.vips = network.VIPs
		return filter.Table(f.input())
	}
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 0))
		f, all := begin(), map[types.NamespacedName]filtered{}
		before := planned(f)
		f.dirty = false
		for step := range 100 {
			name := types.NamespacedName{Namespace: "shop", Name: fmt.Sprint("service-", r.IntN(4))}
			if all[name] = anyFiltered(r); r.IntN(4) == 0 {
				all[name] = filtered{}
			}
			network.Open = r.IntN(8) == 0
			f.setNetwork(network)
			all[name].put(f, name)
			if !f.dirty {
				if diff := cmp.Diff(before, planned(f)); diff != "" {
					t.Fatalf("seed %d, change %d: it is not known that the filter differs (-before +after)\n%s", seed, step, diff)
				}
			}
			if r.IntN(3) == 0 {
				continue // more changes come before the next pass
			}
			anew := begin()
			for name, i := range all {
				i.put(anew, name)
			}
			before, f.dirty = planned(f), false
			if diff := cmp.Diff(planned(anew), before); diff != "" {
				t.Fatalf("seed %d, change %d (-anew +after all changes)\n%s", seed, step, diff)
			}
		}
	}
}

// BenchmarkFilterChange plans the filter for the change of one UDP endpoint of 80,000, behind 5,000
// clusterset IPs.
func BenchmarkFilterChange(b *testing.B) {
	var wanted plan.Table
	f := newFilterTable(&wanted, &vipGate{}, &nft.Writes{})
	f.vips = []netip.Prefix{netip.MustParsePrefix("244.0.0.0/16")}
	name := func(i int) types.NamespacedName {
		return types.NamespacedName{Namespace: "shop", Name: fmt.Sprint("service-", i)}
	}
	endpoints := func(i int, first uint16) (udp plan.UDP) {
		for k := range 16 {
			address := netip.AddrFrom4([4]byte{10, 16 + byte(i>>12), byte(i >> 4), byte(i<<4 | k)})
			udp.Imported = append(udp.Imported, serviceport.Key{Address: address, Protocol: serviceport.UDP, Port: 8080})
		}
		udp.Imported[0].Port = first
		return udp
	}
	for i := range 5000 {
		vip := netip.AddrFrom4([4]byte{244, 0, byte(i >> 8), byte(i)})
		f.replace(wanted.Put(name(i), []plan.VirtualService{{Key: plan.Key{Address: vip, Protocol: serviceport.UDP, Port: 53}}}))
		f.putImport(name(i), endpoints(i, 8080), nil)
	}
	have, n := filter.Table(f.input()), 0
	b.ReportAllocs()
	for b.Loop() {
		n++
		f.putImport(name(2500), endpoints(2500, uint16(8080+n%2)), nil)
		want, state := filter.Table(f.input()), firewall.State{Digest: have.Digest(), Elements: map[string]firewall.Keys{}}
		for _, s := range have.Sets {
			state.Elements[s.Name] = s.Keys
		}
		if change := firewall.Diff(firewall.FilterTable, state, want); len(change.Elements) != 1 {
			b.Fatal(change)
		}
		have = want
	}
}
