package plan

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
)

// Key is what makes a virtual service distinct: an address, a protocol and a port.
type Key = serviceport.Key

// VirtualService is one port of one clusterset IP.
type VirtualService struct {
	Key
	Scheduler v1alpha1.Scheduler
	// Affinity is how long a client stays with its endpoint; zero: each flow may get another
	// endpoint.
	Affinity time.Duration
	// Destinations sorted by address and port. If there are none, the port is served and refuses
	// flows, as no endpoint is ready.
	Destinations []Destination
}

// Destination is one endpoint.
type Destination struct {
	Address netip.Addr
	Port    uint16
	// Weight is its share of new flows, relative to the other destinations' weights; zero: it keeps
	// the flows that it has.
	Weight uint32
	// Hairpin is true if it may be a pod of this node, which then reaches itself through the clusterset
	// IP.
	Hairpin bool
}

// Compare orders destinations by address and port.
func (d Destination) Compare(other Destination) int {
	if c := d.Address.Compare(other.Address); c != 0 {
		return c
	}
	return cmp.Compare(d.Port, other.Port)
}

// Services plans the virtual services of a ServiceImport. Ports are matched by name and protocol;
// the slice has the endpoint's own number (KEP-1645 "EndpointSlice"). Explain says in words which
// endpoints get flows, and why.
func Services(in Input) Output {
	var s scratch
	targets, ch := prepare(&in, &s)
	services, memories := s.services[:0], s.memories[:0]
	var again time.Time
	for _, t := range targets {
		_, n := ch.choose(t, &s)
		services, memories, again = append(services, n.service), append(memories, n.memory), earlier(again, n.again)
	}
	if len(targets) == 0 {
		return Output{Skipped: skippedOf(ch.skips)}
	}
	out := Output{Services: sameServices(in.Memory.services, services), Again: again, Skipped: skippedOf(ch.skips)}
	out.Memory = Memory{services: out.Services, ports: sameMemories(in.Memory.ports, memories), ranking: ch.fingerprint}
	return out
}

// prepare reads the import, and its slices if there is a port to serve.
func prepare(in *Input, s *scratch) ([]target, portChooser) {
	targets, has, skips := targetsOf(in, s)
	if len(targets) == 0 {
		return nil, portChooser{skips: skips}
	}
	return targets, newPortChooser(in, has, skips, s)
}

// service is what was chosen. If its destinations are those of the last plan it shares their list,
// so that plans do not each make a new one.
func (ch *portChooser) service(key Key, candidates []candidate, served []Destination) VirtualService {
	service := VirtualService{Key: key, Scheduler: ch.ranking.scheduler(), Affinity: affinityOf(&ch.in.Import.Spec)}
	count, same := 0, true
	for _, k := range candidates {
		if k.programmed() {
			same = same && count < len(served) && served[count] == ch.destination(k)
			count++
		}
	}
	switch {
	case count == 0:
	case same && count == len(served):
		service.Destinations = served
	default:
		service.Destinations = make([]Destination, 0, count)
		for _, k := range candidates {
			if k.programmed() {
				service.Destinations = append(service.Destinations, ch.destination(k))
			}
		}
	}
	return service
}

// sameServices returns before if the two are the same, else a copy of services. Two lists of
// destinations are the same if they share memory (portChooser.service).
func sameServices(before, services []VirtualService) []VirtualService {
	if slices.EqualFunc(before, services, func(a, b VirtualService) bool {
		return a.Key == b.Key && a.Scheduler == b.Scheduler && a.Affinity == b.Affinity && oneList(a.Destinations, b.Destinations)
	}) {
		return before
	}
	return slices.Clone(services)
}

// sameMemories returns before if the two are the same, nil if there is nothing to remember, else a
// copy of memories.
func sameMemories(before, memories []portMemory) []portMemory {
	if !slices.ContainsFunc(memories, func(m portMemory) bool { return !m.empty() }) {
		return nil
	}
	if slices.EqualFunc(before, memories, func(a, b portMemory) bool { return oneList(a.levels, b.levels) && oneList(a.drains, b.drains) }) {
		return before
	}
	return slices.Clone(memories)
}

func oneList[T any](a, b []T) bool { return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0]) }

// sortUnique keeps the first of two with one key.
func sortUnique(services []VirtualService) []VirtualService {
	slices.SortStableFunc(services, func(a, b VirtualService) int { return a.Key.Compare(b.Key) })
	return slices.CompactFunc(services, func(a, b VirtualService) bool { return a.Key == b.Key })
}

// defaultAffinity is what Kubernetes uses if the timeout is absent: three hours (core/v1
// DefaultClientIPServiceAffinitySeconds).
const defaultAffinity = 3 * time.Hour

func affinityOf(spec *mcsv1beta1.ServiceImportSpec) time.Duration {
	if spec.SessionAffinity != corev1.ServiceAffinityClientIP {
		return 0
	}
	if c := spec.SessionAffinityConfig; c != nil && c.ClientIP != nil && c.ClientIP.TimeoutSeconds != nil && *c.ClientIP.TimeoutSeconds > 0 {
		return time.Duration(*c.ClientIP.TimeoutSeconds) * time.Second
	}
	return defaultAffinity
}
