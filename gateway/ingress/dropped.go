package ingress

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
)

// Dropped is what the filter has dropped.
type Dropped struct {
	// Packets since the table was made, by the names of the counters (CounterName).
	Packets map[string]uint64
	// Examples of the last minute.
	Examples []Example
}

// Example is a packet that was dropped.
type Example struct {
	Source      netip.Addr
	Destination serviceport.Key
}

// String is, for example, "10.1.0.5 to TCP 10.2.0.7:80".
func (e Example) String() string {
	to := netip.AddrPortFrom(e.Destination.Address, e.Destination.Port)
	return fmt.Sprintf("%s to %s %s", e.Source, e.Destination.Protocol, to)
}

// ExampleOf returns an example of what was dropped for the reason, or nil: its source is in the prefixes
// from, and its destination in own, or outside of it if that is why it was dropped.
func (d Dropped) ExampleOf(r Reason, from, own []netip.Prefix) *Example {
	in := func(a netip.Addr, prefixes []netip.Prefix) bool {
		return slices.ContainsFunc(prefixes, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	i := slices.IndexFunc(d.Examples, func(e Example) bool {
		return in(e.Source, from) && in(e.Destination.Address, own) == (r != Foreign)
	})
	if i < 0 {
		return nil
	}
	return &d.Examples[i]
}

// DroppedNote tells people that so many packets of a cluster were dropped, why, and what to do if they
// were meant to pass. The example may be nil.
func DroppedNote(cluster v1alpha1.ClusterID, r Reason, packets uint64, example *Example) string {
	note := fmt.Sprintf("%d packets of cluster %s were dropped: ", packets, cluster)
	switch r {
	case Foreign:
		note += "they were for addresses that are not this cluster's"
	case TooMany:
		return note + "too many echoes a second"
	case Unexported, Source:
		note += "no Service that is exported here serves them"
	}
	if example != nil {
		note += ", for example " + example.String()
	}
	if r == Unexported {
		note += "; if they are meant to pass, export the Service, or set ClusterSet.spec.gateway.ingress to Any"
	}
	return note
}
