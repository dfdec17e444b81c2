package agent

import (
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/dataplane/backend"
	"github.com/tombolo-net/tombolo/dataplane/plan"
)

// skips are what of the ServiceImports cannot be served. They are used by the loop only.
type skips struct {
	// planned is what the plan left out.
	planned map[types.NamespacedName][]plan.Skipped
	// crowded is what a backend leaves out where it serves.
	crowded map[v1alpha1.DataplaneBackend]map[types.NamespacedName][]backend.Crowded
	// reported is what the last event about a ServiceImport said, with that backend. fresh are
	// those planned since.
	reported map[types.NamespacedName][]plan.Skipped
	by       v1alpha1.DataplaneBackend
	fresh    map[types.NamespacedName]bool
	// budget is how many events may be made, and suppressed how many were not made since the last
	// one that was.
	budget     budget
	suppressed int
}

// put remembers what is left out of the plan for a ServiceImport.
func (s *skips) put(name types.NamespacedName, planned plan.Output) {
	if s.planned == nil {
		s.planned, s.reported = map[types.NamespacedName][]plan.Skipped{}, map[types.NamespacedName][]plan.Skipped{}
		s.fresh = map[types.NamespacedName]bool{}
		s.crowded = map[v1alpha1.DataplaneBackend]map[types.NamespacedName][]backend.Crowded{
			v1alpha1.BackendIPVS: {}, v1alpha1.BackendNFTables: {}}
	}
	s.fresh[name] = true
	setOrDelete(s.planned, name, planned.Skipped)
	for by, crowded := range s.crowded {
		setOrDelete(crowded, name, backend.CrowdedOf(planned.Services, by))
	}
}

// setOrDelete sets the list of that name; an empty one it deletes.
func setOrDelete[T any](all map[types.NamespacedName][]T, name types.NamespacedName, list []T) {
	if len(list) == 0 {
		delete(all, name)
		return
	}
	all[name] = list
}

// of returns what is left out of a ServiceImport where that backend serves.
func (s *skips) of(name types.NamespacedName, by v1alpha1.DataplaneBackend) []plan.Skipped {
	skipped := slices.Clone(s.planned[name])
	for _, c := range s.crowded[by][name] {
		skipped = append(skipped, c.Skipped)
	}
	return skipped
}

// count counts all that is left out where that backend serves.
func (s *skips) count(by v1alpha1.DataplaneBackend) (n int) {
	for _, skipped := range s.planned {
		for _, one := range skipped {
			n += one.Count
		}
	}
	for _, crowded := range s.crowded[by] {
		for _, c := range crowded {
			n += c.Skipped.Count
		}
	}
	return n
}

// crowdedPorts returns the ports with endpoints that this backend leaves out, sorted.
func (s *skips) crowdedPorts(by v1alpha1.DataplaneBackend) (ports []string) {
	for _, crowded := range s.crowded[by] {
		for _, c := range crowded {
			ports = append(ports, c.Port)
		}
	}
	slices.Sort(ports)
	return ports
}

// changedFor reports whether news may find something.
func (s *skips) changedFor(by v1alpha1.DataplaneBackend) bool { return len(s.fresh) > 0 || s.by != by }

// news returns the ServiceImports for which something else is left out than was reported last, now
// that this backend serves. They are sorted, and count as reported from now on.
func (s *skips) news(by v1alpha1.DataplaneBackend) (names []types.NamespacedName) {
	if by != s.by {
		for _, crowded := range s.crowded {
			for name := range crowded {
				s.fresh[name] = true
			}
		}
		s.by = by
	}
	for name := range s.fresh {
		skipped := s.of(name, by)
		if !slices.Equal(s.reported[name], skipped) && len(skipped) > 0 {
			names = append(names, name)
		}
		setOrDelete(s.reported, name, skipped)
	}
	clear(s.fresh)
	slices.SortFunc(names, func(a, b types.NamespacedName) int { return strings.Compare(a.String(), b.String()) })
	return names
}

// notes returns the note of the event about each ServiceImport with news, as far as the budget
// allows.
func (s *skips) notes(by v1alpha1.DataplaneBackend, now time.Time) (notes []skipNote) {
	for _, name := range s.news(by) {
		if !s.budget.spend(now) {
			s.suppressed++
			continue
		}
		words := make([]string, 0, len(s.reported[name]))
		for _, one := range s.reported[name] {
			words = append(words, fmt.Sprintf("%s: %s", one.What, one.Why))
		}
		note := fmt.Sprintf("ServiceImport %s is served except: %s", name, someOf(words))
		if s.suppressed > 0 {
			note = fmt.Sprintf("%s (%d earlier messages suppressed)", note, s.suppressed)
			s.suppressed = 0
		}
		notes = append(notes, skipNote{name, note})
	}
	return notes
}

// skipNote is the note of an event about a ServiceImport.
type skipNote struct {
	about types.NamespacedName
	text  string
}

// importRef returns as much of a ServiceImport as it takes to refer to it.
func importRef(name types.NamespacedName) *mcsv1beta1.ServiceImport {
	return &mcsv1beta1.ServiceImport{
		TypeMeta:   metav1.TypeMeta{APIVersion: mcsv1beta1.GroupVersion.String(), Kind: "ServiceImport"},
		ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name},
	}
}

// eventBurst is how many events about ServiceImports may come at once, and eventPause the pause in
// which one more may: client-go's limits for events about one object.
const (
	eventBurst = 25
	eventPause = time.Minute
)

// budget holds back what comes too often. The zero budget allows a burst.
type budget struct {
	used int
	last time.Time
}

// spend returns false if nothing is left.
func (b *budget) spend(now time.Time) bool {
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
