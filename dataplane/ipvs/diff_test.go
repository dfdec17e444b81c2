package ipvs

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
)

var compareAddresses = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

func key(address string, protocol serviceport.Protocol) Key {
	ap := netip.MustParseAddrPort(address)
	return Key{Address: ap.Addr(), Port: ap.Port(), Protocol: protocol}
}

func service(destinations ...string) Service {
	s := Service{Scheduler: "wrr"}
	for _, d := range destinations {
		ap := netip.MustParseAddrPort(d)
		s.Destinations = append(s.Destinations, Destination{Address: ap.Addr(), Port: ap.Port(), Weight: 1})
	}
	return s
}

func TestDiffOrder(t *testing.T) {
	web, dns := key("244.0.0.1:80", serviceport.TCP), key("244.0.0.1:53", serviceport.UDP)
	have := Config{Services: map[Key]Service{
		dns: service("10.1.0.1:53"),
		web: service("10.1.0.1:80", "10.1.0.2:80", "10.1.0.9:80"),
	}}
	want := Config{Services: map[Key]Service{
		key("[fd77::1]:80", serviceport.TCP): service("[fd00::1]:80"),
		web:                                  service("10.1.0.2:80", "10.1.0.3:80"),
	}}
	var got []string
	for _, op := range slices.Collect(Diff(have, want)) {
		got = append(got, op.String())
	}
	if diff := cmp.Diff([]string{
		"adding a destination to virtual service TCP 244.0.0.1:80: 10.1.0.3:80",
		"deleting a destination of virtual service TCP 244.0.0.1:80: 10.1.0.1:80",
		"deleting a destination of virtual service TCP 244.0.0.1:80: 10.1.0.9:80",
		"adding virtual service TCP [fd77::1]:80",
		"adding a destination to virtual service TCP [fd77::1]:80: [fd00::1]:80",
		"deleting virtual service UDP 244.0.0.1:53",
	}, got); diff != "" {
		t.Errorf("operations (-want +got)\n%s", diff)
	}
}

func TestEveryFieldShowsInDiff(t *testing.T) {
	base := func() Config {
		return Config{Services: map[Key]Service{key("244.0.0.1:80", serviceport.TCP): service("10.1.0.1:80")}}
	}
	edit := func(f func(*Service)) Config {
		c := base()
		for k, s := range c.Services {
			f(&s)
			c.Services[k] = s
		}
		return c
	}
	move := func(k Key) Config {
		return Config{Services: map[Key]Service{k: service("10.1.0.1:80")}}
	}
	tests := map[string]Config{
		"address":             move(key("244.0.0.2:80", serviceport.TCP)),
		"port":                move(key("244.0.0.1:81", serviceport.TCP)),
		"protocol":            move(key("244.0.0.1:80", serviceport.UDP)),
		"scheduler":           edit(func(s *Service) { s.Scheduler = "rr" }),
		"affinity":            edit(func(s *Service) { s.Affinity = time.Second }),
		"mark":                edit(func(s *Service) { s.Unmarked = true }),
		"destination":         edit(func(s *Service) { s.Destinations = nil }),
		"destination address": edit(func(s *Service) { s.Destinations[0].Address = netip.MustParseAddr("10.1.0.2") }),
		"destination port":    edit(func(s *Service) { s.Destinations[0].Port++ }),
		"destination weight":  edit(func(s *Service) { s.Destinations[0].Weight = 0 }),
	}
	for name, other := range tests {
		t.Run(name, func(t *testing.T) {
			if empty(Diff(base(), other)) || empty(Diff(other, base())) {
				t.Error("the difference does not show")
			}
		})
	}
}

func TestDiffProperties(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 3))
	for range 500 {
		have, want := randomConfig(random), randomConfig(random)
		if change := Diff(have, have); !empty(change) {
			t.Fatalf("Diff(x, x) is %v", slices.Collect(change))
		}
		before := fmt.Sprint(have, want)
		change := Diff(have, want)
		if again := fmt.Sprint(have, want); again != before {
			t.Fatalf("Diff changed its arguments")
		}
		if diff := cmp.Diff(want, applied(t, have, change), compareAddresses, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("have, changed by Diff(have, want), is not want (-want +got)\n%s", diff)
		}
	}
}

func randomConfig(random *rand.Rand) Config {
	config := Config{Services: map[Key]Service{}}
	for i := range 4 {
		if random.IntN(3) == 0 {
			continue
		}
		s := Service{Scheduler: "wrr", Affinity: time.Duration(random.IntN(2)) * time.Second}
		for j := range byte(5) {
			if random.IntN(2) == 0 {
				s.Destinations = append(s.Destinations,
					Destination{Address: netip.AddrFrom4([4]byte{10, 1, 0, j}), Port: 80, Weight: random.Uint32N(3)})
			}
		}
		config.Services[Key{Address: netip.AddrFrom4([4]byte{244, 0, 0, byte(i)}), Port: 80, Protocol: serviceport.TCP}] = s
	}
	return config
}

func empty(change Change) bool {
	for range change {
		return false
	}
	return true
}

// applied is what the kernel makes of the change, and as strict: it refuses to add what is there,
// or to change or delete what is not.
func applied(t *testing.T, have Config, change Change) Config {
	t.Helper()
	services := maps.Clone(have.Services)
	for op := range change {
		s, exists := services[op.Key]
		if exists == (op.Verb == AddService) {
			t.Fatalf("%s: exists is %t", op, exists)
		}
		i, found := slices.BinarySearchFunc(s.Destinations, op.Destination, Destination.Compare)
		if op.Verb >= AddDestination && found == (op.Verb == AddDestination) {
			t.Fatalf("%s: found is %t", op, found)
		}
		destinations := slices.Clone(s.Destinations)
		switch op.Verb {
		case AddService, SetService:
			s = op.Service
		case DeleteService:
			delete(services, op.Key)
			continue
		case AddDestination:
			destinations = slices.Insert(destinations, i, op.Destination)
		case SetDestination:
			destinations[i] = op.Destination
		case DeleteDestination:
			destinations = slices.Delete(destinations, i, i+1)
		}
		s.Destinations = destinations
		services[op.Key] = s
	}
	return Config{Services: services}
}
