package nftables

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
)

// Key is what makes a service distinct.
type Key = serviceport.Key

// Scheduler is how a new flow gets its slot.
type Scheduler uint8

// The schedulers. None of them counts connections: nftables cannot.
const (
	// Random draws lots for each flow. It needs the fewest slots.
	Random Scheduler = iota
	// RoundRobin takes the slots in turn. The kernel keeps one count for all services of the same
	// number of slots, so that the turn is even over all of their flows, and for one service only if
	// its flows do not follow a pattern: a client that opens one connection to each of two services in
	// turn sees every second slot of each. At least 16 slots, given out by hash, keep a service of few
	// endpoints from missing one of them.
	RoundRobin
	// ConsistentHash gives all flows of a client's address the same slot. There are 1024 slots, or
	// 4096 where a share needs them: with endpoints that are alike, where there are 52. These begin as
	// four for each of the 1024, so that one endpoint more or less moves about as many clients as it
	// has where there are ten, and three times as many where there are 100.
	ConsistentHash
)

// String is the scheduler's name in the API.
func (s Scheduler) String() string {
	if int(s) < len(schedulers) {
		return schedulers[s].name
	}
	return fmt.Sprintf("scheduler %d", uint8(s))
}

// Service is what happens to the flows to one port of a clusterset IP.
type Service struct {
	Scheduler Scheduler
	// Affinity is how long after its last new connection a client stays with its endpoint, in whole
	// seconds; zero: every flow is on its own.
	Affinity time.Duration
	// Destinations in any order, without duplicates of address and port, all of the family of the
	// key's address. If none has weight, new flows are refused.
	Destinations []Destination
}

// Destination is one endpoint.
type Destination struct {
	Address netip.Addr
	Port    uint16
	// Weight is the destination's share of new flows beside the others' weights; zero: it keeps the
	// flows that it has.
	Weight uint32
}

// Config is what the table should serve. The zero Config: there should be no table.
type Config struct {
	Services map[Key]Service
	// Counters asks for a count of each service's new flows, those that are refused as well, in the
	// elements of the maps services4 and services6: nft lists it as packets, of which it is the first
	// of each flow. It begins at zero when the service comes, and again when its number of slots
	// changes. To turn it on or off writes the table again.
	Counters bool
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

// empty reports whether no table is needed.
func (c Config) empty() bool { return len(c.Services) == 0 }
