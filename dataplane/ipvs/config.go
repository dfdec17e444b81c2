package ipvs

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
)

// Key is what makes a virtual service distinct in the kernel's table.
type Key = serviceport.Key

// Service is what a virtual service does with the flows that it gets.
type Service struct {
	// Scheduler by its kernel name, "wrr" for example.
	Scheduler string
	// Affinity is how long a client stays with its destination, in whole seconds; zero: every flow is
	// on its own.
	Affinity time.Duration
	// Unmarked is true for a service in the kernel that lacks our mark, or a flag that its scheduler
	// should have. A wanted service is never unmarked.
	Unmarked bool
	// Destinations sorted by Compare, without duplicates of address and port. None: flows are refused.
	Destinations []Destination
}

// alike reports whether the services are the same, whatever their destinations.
func (s Service) alike(other Service) bool {
	return s.Scheduler == other.Scheduler && s.Affinity == other.Affinity && s.Unmarked == other.Unmarked
}

// Destination is one real server.
type Destination struct {
	Address netip.Addr
	Port    uint16
	// Weight is the destination's share; zero keeps its flows and sends it no new ones.
	Weight uint32
}

// String is, for example, "10.1.0.5:8080".
func (d Destination) String() string { return netip.AddrPortFrom(d.Address, d.Port).String() }

// Compare orders destinations by address and port.
func (d Destination) Compare(other Destination) int {
	return cmp.Or(d.Address.Compare(other.Address), cmp.Compare(d.Port, other.Port))
}

// Config is a set of virtual services: those that the kernel should have, or those of ours that it
// has.
type Config struct {
	Services map[Key]Service
}

// Only is the part of the Config that has those keys.
func (c Config) Only(keys []Key) Config {
	part := Config{Services: make(map[Key]Service, len(keys))}
	for _, key := range keys {
		if service, ok := c.Services[key]; ok {
			part.Services[key] = service
		}
	}
	return part
}

// Keys of the Config, sorted.
func (c Config) Keys() []Key {
	keys := make([]Key, 0, len(c.Services))
	for key := range c.Services {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, Key.Compare)
	return keys
}
