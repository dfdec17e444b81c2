package agent

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/dataplane/nftables"
	"github.com/tombolo-net/tombolo/dataplane/plan"
)

// skips are what of the ServiceImports cannot be served. It is used by the loop only.
type skips struct {
	// planned is what the plan left out.
	planned map[types.NamespacedName][]plan.Skipped
	// crowded is what backends leave out, where they serve.
	crowded map[v1alpha1.DataplaneBackend]crowds
	// told is what the last event about a ServiceImport said, with that backend, and fresh are those planned since.
	told    map[types.NamespacedName][]plan.Skipped
	backend v1alpha1.DataplaneBackend
	fresh   map[types.NamespacedName]bool
	// events are those that may be made.
	events bucket
	// untold is how many were not made since the last one that was.
	untold int
}

// crowds are the ServiceImports with more endpoints than a backend shares flows among.
type crowds struct {
	skipped map[types.NamespacedName][]plan.Skipped
	// ports in question, in words.
	ports map[types.NamespacedName][]string
}

// take remembers what is left out of the plan for a ServiceImport.
func (s *skips) take(name types.NamespacedName, planned plan.Output) {
	if s.planned == nil {
		*s = skips{planned: map[types.NamespacedName][]plan.Skipped{}, crowded: map[v1alpha1.DataplaneBackend]crowds{},
			told: map[types.NamespacedName][]plan.Skipped{}, fresh: map[types.NamespacedName]bool{}}
		for _, backend := range []v1alpha1.DataplaneBackend{v1alpha1.BackendIPVS, v1alpha1.BackendNFTables} {
			s.crowded[backend] = crowds{map[types.NamespacedName][]plan.Skipped{}, map[types.NamespacedName][]string{}}
		}
	}
	s.fresh[name] = true
	put(s.planned, name, planned.Skipped)
	for backend, crowds := range s.crowded {
		skipped, ports := crowdedOf(planned.Services, backend)
		put(crowds.skipped, name, skipped)
		put(crowds.ports, name, ports)
	}
}

func put[T any](all map[types.NamespacedName][]T, name types.NamespacedName, these []T) {
	if len(these) == 0 {
		delete(all, name)
		return
	}
	all[name] = these
}

// hashSlots is how many destinations IPVS's scheduler mh shares flows among at most, unless the kernel is built otherwise
// (CONFIG_IP_VS_MH_TAB_INDEX 12).
const hashSlots = 4093

// crowdedOf is what the backend leaves out of those services, for want of slots, and of which ports.
func crowdedOf(services []plan.VirtualService, backend v1alpha1.DataplaneBackend) (skipped []plan.Skipped, ports []string) {
	for _, service := range services {
		if len(service.Destinations) <= min(hashSlots, nftables.MaxSlots) {
			continue // as nearly all
		}
		port, more, why := nftKey(service.Key).String(), 0, ""
		switch {
		case backend == v1alpha1.BackendNFTables:
			more = nftService(service).Unplaced(nftKey(service.Key))
			why = fmt.Sprintf("nftables shares the flows to a port among %d endpoints at most: let trafficDistribution or a TrafficPolicy choose fewer, or serve with IPVS", nftables.MaxSlots)
		case service.Scheduler == v1alpha1.SchedulerConsistentHash:
			more = weighted(service.Destinations) - hashSlots
			why = fmt.Sprintf("IPVS shares flows by hash among %d endpoints at most: let trafficDistribution or a TrafficPolicy choose fewer, or take another scheduler", hashSlots)
		}
		if more > 0 {
			ports = append(ports, port)
			skipped = append(skipped, plan.Skipped{What: fmt.Sprintf("%d endpoints of %s", more, port), Count: more, Why: why})
		}
	}
	return skipped, ports
}

// weighted is how many of the destinations may get new flows.
func weighted(all []plan.Destination) (n int) {
	for _, d := range all {
		if d.Weight > 0 {
			n++
		}
	}
	return n
}

// of a ServiceImport, what is left out where that backend serves.
func (s *skips) of(name types.NamespacedName, backend v1alpha1.DataplaneBackend) []plan.Skipped {
	return slices.Concat(s.planned[name], s.crowded[backend].skipped[name])
}

// count of all that is left out where that backend serves.
func (s *skips) count(backend v1alpha1.DataplaneBackend) (n int) {
	sum := func(all map[types.NamespacedName][]plan.Skipped) {
		for _, skipped := range all {
			for _, one := range skipped {
				n += one.Count
			}
		}
	}
	sum(s.planned)
	sum(s.crowded[backend].skipped)
	return n
}

// crowdedPorts are those of which that backend leaves endpoints out, sorted.
func (s *skips) crowdedPorts(backend v1alpha1.DataplaneBackend) (all []string) {
	for _, ports := range s.crowded[backend].ports {
		all = append(all, ports...)
	}
	slices.Sort(all)
	return all
}

// news are the ServiceImports of which something else is left out than was told last, sorted, now that this backend serves.
func (s *skips) news(backend v1alpha1.DataplaneBackend) (names []types.NamespacedName) {
	if backend != s.backend {
		for _, crowds := range s.crowded {
			for name := range crowds.skipped {
				s.fresh[name] = true
			}
		}
		s.backend = backend
	}
	for name := range s.fresh {
		skipped := s.of(name, backend)
		if !slices.Equal(s.told[name], skipped) && len(skipped) > 0 {
			names = append(names, name)
		}
		put(s.told, name, skipped)
	}
	clear(s.fresh)
	slices.SortFunc(names, func(a, b types.NamespacedName) int { return strings.Compare(a.String(), b.String()) })
	return names
}

// tellSkipped tells what is left out, where that is new.
func (a *Agent) tellSkipped(now time.Time) {
	s := &a.node.skips
	for _, name := range s.news(a.node.servingBy) {
		if !s.events.take(now) {
			s.untold++
			continue
		}
		skipped := s.told[name]
		words := make([]string, 0, len(skipped))
		for _, one := range skipped {
			words = append(words, fmt.Sprintf("%s: %s", one.What, one.Why))
		}
		note := fmt.Sprintf("ServiceImport %s is served but for: %s", name, someOf(words))
		if s.untold > 0 {
			note = fmt.Sprintf("%s; not told of %d others before it", note, s.untold)
			s.untold = 0
		}
		a.eventWith(importRef(name), corev1.EventTypeWarning, reasonSkipped, "Plan", note)
	}
}

// importRef is enough of a ServiceImport to refer to it.
func importRef(name types.NamespacedName) *mcsv1beta1.ServiceImport {
	return &mcsv1beta1.ServiceImport{
		TypeMeta:   metav1.TypeMeta{APIVersion: mcsv1beta1.GroupVersion.String(), Kind: "ServiceImport"},
		ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name},
	}
}

// The number of events about ServiceImports that may come at once, and the pause in which one more may; as client-go has
// it of the events about one object.
const (
	eventBurst = 25
	eventPause = time.Minute
)

// bucket holds back what comes too often. The zero bucket is full.
type bucket struct {
	used int
	last time.Time
}

// take takes one out; false if there is none.
func (b *bucket) take(now time.Time) bool {
	if more := int(now.Sub(b.last) / eventPause); more > 0 {
		b.used = max(0, b.used-more)
		b.last = now
	}
	if b.used == eventBurst {
		return false
	}
	b.used++
	return true
}
