package nftables

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
)

var compareAddresses = cmp.Options{
	cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b }),
	cmpopts.EquateEmpty(),
}

// stateOf is the State of a kernel that has what the Config asks for.
func stateOf(c Config) State {
	if c.empty() {
		return State{}
	}
	s := State{Maps: wantedMaps(c.Counters), Chains: map[string]string{}, Services: c.layouts()}
	for name := range needed(s.Services) {
		s.Chains[name], _ = wantedDigest(name)
	}
	return s
}

func key(address, protocol string) Key {
	ap := netip.MustParseAddrPort(address)
	return Key{Address: ap.Addr(), Protocol: serviceport.ParseProtocol(protocol), Port: ap.Port()}
}

func service(destinations ...string) Service {
	var s Service
	for _, d := range destinations {
		ap := netip.MustParseAddrPort(d)
		s.Destinations = append(s.Destinations, Destination{Address: ap.Addr(), Port: ap.Port(), Weight: 1})
	}
	return s
}

func TestEveryFieldShowsInDiff(t *testing.T) {
	one := func() Config {
		return Config{Services: map[Key]Service{web: service("10.1.0.1:80", "10.1.0.2:80")}}
	}
	edit := func(f func(*Service)) Config {
		c := one()
		s := c.Services[web]
		f(&s)
		c.Services[web] = s
		return c
	}
	move := func(f func(*Key)) Config {
		k := web
		f(&k)
		return Config{Services: map[Key]Service{k: service("10.1.0.1:80", "10.1.0.2:80")}}
	}
	for _, tt := range []struct {
		name  string
		other Config
	}{
		{"address", move(func(k *Key) { k.Address = k.Address.Next() })},
		{"port", move(func(k *Key) { k.Port++ })},
		{"protocol", move(func(k *Key) { k.Protocol = serviceport.UDP })},
		{"scheduler", edit(func(s *Service) { s.Scheduler = RoundRobin })},
		{"affinity", edit(func(s *Service) { s.Affinity = time.Second })},
		{"destination", edit(func(s *Service) { s.Destinations = s.Destinations[:1] })},
		{"destination address", edit(func(s *Service) { s.Destinations[0].Address = netip.MustParseAddr("10.1.0.3") })},
		{"destination port", edit(func(s *Service) { s.Destinations[0].Port++ })},
		{"destination weight", edit(func(s *Service) { s.Destinations[0].Weight = 2 })},
		{"destination drains", edit(func(s *Service) { s.Destinations[0].Weight = 0 })},
		{"counters", Config{Services: one().Services, Counters: true}},
		{"nothing", Config{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if Diff(stateOf(one()), tt.other).Empty() || Diff(stateOf(tt.other), one()).Empty() {
				t.Error("the difference does not show")
			}
		})
	}
}

func TestEveryPartOfTheStateShowsInDiff(t *testing.T) {
	want := Config{Services: map[Key]Service{web: service("10.1.0.1:80", "10.1.0.2:80")}}
	s := want.Services[web]
	s.Affinity = time.Minute
	want.Services[web] = s
	edit := func(f func(*Layout)) func(*State) {
		return func(s *State) {
			layout := s.Services[web]
			layout.Slots = slices.Clone(layout.Slots)
			f(&layout)
			s.Services[web] = layout
		}
	}
	for _, tt := range []struct {
		name   string
		damage func(*State)
	}{
		{"map", func(s *State) { delete(s.Maps, "slots4") }},
		{"map's type", func(s *State) { s.Maps["slots4"] = "another" }},
		{"strange map", func(s *State) { s.Maps["strange"] = "another" }},
		{"chain", func(s *State) { delete(s.Chains, "output") }},
		{"rules", func(s *State) { s.Chains["random4-2"] = "another" }},
		{"strange chain", func(s *State) { s.Chains["strange"] = "another" }},
		{"verdict", edit(func(l *Layout) { l.Chain = "verdict -3 sticky4" })},
		{"sticky", edit(func(l *Layout) { l.Sticky = "" })},
		{"remember", edit(func(l *Layout) { l.Remember = "remember4-61" })},
		{"slot", edit(func(l *Layout) { l.Slots[1] = netip.AddrPort{} })},
		{"slots too few", edit(func(l *Layout) { l.Slots = l.Slots[:1] })},
		{"slots too many", edit(func(l *Layout) { l.Slots = append(l.Slots, l.Slots[0]) })},
		{"service", func(s *State) { delete(s.Services, web) }},
		{"client of an endpoint that is gone", func(s *State) {
			s.Affinity = map[Client]netip.AddrPort{{netip.MustParseAddr("10.2.0.5"), web}: netip.MustParseAddrPort("10.1.0.9:80")}
		}},
		{"client of a service that is gone", func(s *State) {
			s.Affinity = map[Client]netip.AddrPort{{netip.MustParseAddr("10.2.0.5"), key("244.0.0.9:80", "tcp")}: netip.MustParseAddrPort("10.1.0.1:80")}
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			state := stateOf(want)
			tt.damage(&state)
			change := Diff(state, want)
			if change.Empty() || change.Size() == 0 {
				t.Error("the damage does not show")
			}
			if diff := cmp.Diff(stateOf(want), applied(state, change), compareAddresses); diff != "" {
				t.Errorf("mended (-want +got)\n%s", diff)
			}
		})
	}
	state := stateOf(want)
	state.Affinity = map[Client]netip.AddrPort{{netip.MustParseAddr("10.2.0.5"), web}: netip.MustParseAddrPort("10.1.0.1:80")}
	if change := Diff(state, want); !change.Empty() {
		t.Errorf("a client of an endpoint that serves: %+v", change)
	}
}

func TestDiffProperties(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 3))
	for range 300 {
		have, want := randomConfig(random), randomConfig(random)
		if change := Diff(stateOf(want), want); !change.Empty() || change.Size() != 0 {
			t.Fatalf("Diff(x, x) is %+v", change)
		}
		before := fmt.Sprint(have, want)
		got := applied(stateOf(have), Diff(stateOf(have), want))
		if fmt.Sprint(have, want) != before {
			t.Fatal("Diff changed its arguments")
		}
		if diff := cmp.Diff(stateOf(want), got, compareAddresses); diff != "" {
			t.Fatalf("have, changed by Diff(have, want), is not want (-want +got)\n%s", diff)
		}
	}
}

func randomConfig(random *rand.Rand) Config {
	c := Config{Services: map[Key]Service{}, Counters: random.IntN(8) == 0}
	for i := range byte(4) {
		k := Key{Address: netip.AddrFrom4([4]byte{244, 0, 0, i}), Protocol: serviceport.TCP, Port: 80}
		s := Service{Scheduler: Scheduler(random.IntN(3)), Affinity: time.Duration(random.IntN(2)) * time.Second}
		for j := range byte(5) {
			if random.IntN(2) == 0 {
				s.Destinations = append(s.Destinations,
					Destination{Address: netip.AddrFrom4([4]byte{10, 1, 0, j}), Port: 80, Weight: random.Uint32N(3)})
			}
		}
		if random.IntN(3) > 0 {
			c.Services[k] = s
		}
	}
	return c
}

// applied is what the kernel makes of the change, and as strict: it refuses to delete what is not
// there, and to add what is there with another value. Elements are named as in the kernel.
func applied(have State, change Change) State {
	switch {
	case change.Delete:
		return State{}
	case change.Replace, change.Create:
		have = State{Maps: wantedMaps(change.Counters)}
	}
	chains := maps.Clone(have.Chains)
	if chains == nil {
		chains = map[string]string{}
	}
	for _, name := range change.Chains {
		chains[name], _ = wantedDigest(name)
	}
	for _, name := range change.DeleteChains {
		delete(chains, name)
	}
	elements := map[string]element{}
	for k, layout := range have.Services {
		for _, e := range (ServiceChange{Key: k, Want: layout}).elements() {
			elements[e.set+string(e.key)] = e
		}
	}
	for _, s := range change.Services {
		for add, e := range s.elements() {
			if _, exists := elements[e.set+string(e.key)]; exists == add {
				panic(fmt.Sprintf("%s: element of %s: add %t, exists %t", s.Key, e.set, add, exists))
			}
			if delete(elements, e.set+string(e.key)); add {
				elements[e.set+string(e.key)] = e
			}
		}
	}
	state := State{Maps: have.Maps, Chains: chains, Services: map[Key]Layout{}, Affinity: maps.Clone(have.Affinity)}
	for _, e := range elements {
		if ours, twice := state.add(e.set, e); !ours || twice {
			panic(fmt.Sprintf("element of %s cannot be read back", e.set))
		}
	}
	for _, client := range change.Forget {
		delete(state.Affinity, client)
	}
	return state
}

// TestChainNames: every name that a layout gives is one of a chain, and nothing else is.
func TestChainNames(t *testing.T) {
	for _, scheduler := range []Scheduler{Random, RoundRobin, ConsistentHash} {
		for _, affinity := range []time.Duration{0, time.Minute} {
			s := service("10.1.0.1:80")
			s.Scheduler, s.Affinity = scheduler, affinity
			for _, name := range slices.Concat(s.layout(web).chains(), fixedChains) {
				if c, ok := chainFor(name); !ok || c.name != name || len(c.rules) == 0 {
					t.Errorf("no chain %s", name)
				}
			}
		}
	}
	for _, name := range []string{"", "-", "random4", "random4-", "random4-0", "random4-4097", "random4-01", "random5-3", "random-3", "remember4-0", "sticky", "strange"} {
		if _, ok := chainFor(name); ok {
			t.Errorf("%q is a chain", name)
		}
	}
	for _, s := range []Scheduler{Random, RoundRobin, ConsistentHash, 9} {
		if s.String() == "" || strings.HasPrefix(s.String(), "scheduler") != (s == 9) {
			t.Errorf("%d is called %q", uint8(s), s)
		}
	}
}
