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
	// planned is what the plan left out, and crowded what nftables does, where it serves.
	planned, crowded map[types.NamespacedName][]plan.Skipped
	// ports are those of crowded, in words.
	ports map[types.NamespacedName][]string
	// told is what the last event about a ServiceImport said, with that backend, and fresh are those planned since.
	told    map[types.NamespacedName][]plan.Skipped
	backend v1alpha1.DataplaneBackend
	fresh   map[types.NamespacedName]bool
	// events are those that may be made.
	events bucket
	// untold is how many were not made since the last one that was.
	untold int
}

// take remembers what is left out of the plan for a ServiceImport.
func (s *skips) take(name types.NamespacedName, planned plan.Output) {
	if s.planned == nil {
		*s = skips{planned: map[types.NamespacedName][]plan.Skipped{}, crowded: map[types.NamespacedName][]plan.Skipped{},
			ports: map[types.NamespacedName][]string{}, told: map[types.NamespacedName][]plan.Skipped{}, fresh: map[types.NamespacedName]bool{}}
	}
	s.fresh[name] = true
	crowded, ports := crowdedOf(planned.Services)
	put(s.planned, name, planned.Skipped)
	put(s.crowded, name, crowded)
	put(s.ports, name, ports)
}

func put[T any](all map[types.NamespacedName][]T, name types.NamespacedName, these []T) {
	if len(these) == 0 {
		delete(all, name)
		return
	}
	all[name] = these
}

// crowdedOf is what nftables leaves out of those services, for want of slots, and of which ports.
func crowdedOf(services []plan.VirtualService) (skipped []plan.Skipped, ports []string) {
	for _, service := range services {
		if len(service.Destinations) <= nftables.MaxSlots {
			continue
		}
		if more := nftService(service).Unplaced(nftKey(service.Key)); more > 0 {
			port := nftKey(service.Key).String()
			ports = append(ports, port)
			skipped = append(skipped, plan.Skipped{What: fmt.Sprintf("%d endpoints of %s", more, port), Count: more,
				Why: fmt.Sprintf("nftables shares the flows to a port among %d endpoints at most: let trafficDistribution or a TrafficPolicy choose fewer, or serve with IPVS", nftables.MaxSlots)})
		}
	}
	return skipped, ports
}

// of a ServiceImport, what is left out where that backend serves.
func (s *skips) of(name types.NamespacedName, backend v1alpha1.DataplaneBackend) []plan.Skipped {
	if backend != v1alpha1.BackendNFTables {
		return s.planned[name]
	}
	return slices.Concat(s.planned[name], s.crowded[name])
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
	if backend == v1alpha1.BackendNFTables {
		sum(s.crowded)
	}
	return n
}

// crowdedPorts are those of which that backend leaves endpoints out, sorted.
func (s *skips) crowdedPorts(backend v1alpha1.DataplaneBackend) (all []string) {
	if backend != v1alpha1.BackendNFTables {
		return nil
	}
	for _, ports := range s.ports {
		all = append(all, ports...)
	}
	slices.Sort(all)
	return all
}

// news are the ServiceImports of which something else is left out than was told last, sorted, now that this backend serves.
func (s *skips) news(backend v1alpha1.DataplaneBackend) (names []types.NamespacedName) {
	if backend != s.backend {
		for name := range s.crowded {
			s.fresh[name] = true
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
