package plan

import (
	"cmp"
	"slices"

	"k8s.io/apimachinery/pkg/types"
)

// Table holds the virtual services of all ServiceImports and decides which one wins if two claim
// one key: the one whose namespace sorts first, then the one whose name does. Its answer depends on
// what was last put in for each ServiceImport, not on the order. The zero Table is ready to use. It
// is not safe for concurrent use.
type Table struct {
	byImport map[types.NamespacedName][]VirtualService
	// claimants are the ServiceImports that claim a key, sorted: the first wins.
	claimants map[Key][]types.NamespacedName
}

// Grow allocates for n ServiceImports in all, which costs less than growing bit by bit. It does
// nothing to a Table that was used before.
func (t *Table) Grow(n int) {
	if t.byImport == nil {
		t.byImport = make(map[types.NamespacedName][]VirtualService, n)
		t.claimants = make(map[Key][]types.NamespacedName, n)
	}
}

// Replaced is a key whose virtual service has been replaced.
type Replaced struct {
	Key Key
	// Before is the virtual service that it had; the zero VirtualService if it had none.
	Before VirtualService
}

// Put replaces the virtual services of a ServiceImport (none if it is gone). It returns the keys
// whose virtual service may have changed, sorted. The Table keeps the services: the caller must not
// change them afterwards.
func (t *Table) Put(name types.NamespacedName, services []VirtualService) []Replaced {
	t.Grow(0)
	old := t.byImport[name]
	if oneList(old, services) {
		return nil
	}
	replaced := differing(old, services)
	for i := range replaced {
		replaced[i].Before, _ = t.Get(replaced[i].Key)
	}
	for _, service := range old {
		claimants := slices.DeleteFunc(t.claimants[service.Key], func(n types.NamespacedName) bool { return n == name })
		if len(claimants) == 0 {
			delete(t.claimants, service.Key)
			continue
		}
		t.claimants[service.Key] = claimants
	}
	for _, service := range services {
		claimants := append(t.claimants[service.Key], name)
		slices.SortFunc(claimants, compareNames)
		t.claimants[service.Key] = claimants
	}
	if len(services) == 0 {
		delete(t.byImport, name)
		return replaced
	}
	t.byImport[name] = services
	return replaced
}

// Get returns the virtual service of the key; false if there is none.
func (t *Table) Get(key Key) (VirtualService, bool) {
	claimants := t.claimants[key]
	if len(claimants) == 0 {
		return VirtualService{}, false
	}
	for _, service := range t.byImport[claimants[0]] {
		if service.Key == key {
			return service, true
		}
	}
	return VirtualService{}, false
}

// Len returns how many virtual services there are.
func (t *Table) Len() int { return len(t.claimants) }

// Names of the ServiceImports that have virtual services, sorted.
func (t *Table) Names() []types.NamespacedName {
	names := make([]types.NamespacedName, 0, len(t.byImport))
	for name := range t.byImport {
		names = append(names, name)
	}
	slices.SortFunc(names, compareNames)
	return names
}

// Keys of all virtual services, sorted.
func (t *Table) Keys() []Key {
	keys := make([]Key, 0, len(t.claimants))
	for key := range t.claimants {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, Key.Compare)
	return keys
}

func compareNames(a, b types.NamespacedName) int {
	return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
}

// differing returns the keys of the virtual services that are in one list only, or differ. Both
// lists are sorted.
func differing(old, services []VirtualService) []Replaced {
	var changed []Replaced
	for len(old) > 0 || len(services) > 0 {
		switch {
		case len(services) == 0 || len(old) > 0 && old[0].Key.Compare(services[0].Key) < 0:
			changed = append(changed, Replaced{Key: old[0].Key})
			old = old[1:]
		case len(old) == 0 || old[0].Key.Compare(services[0].Key) > 0:
			changed = append(changed, Replaced{Key: services[0].Key})
			services = services[1:]
		default:
			if !old[0].Equal(services[0]) {
				changed = append(changed, Replaced{Key: old[0].Key})
			}
			old, services = old[1:], services[1:]
		}
	}
	return changed
}

// Equal tells whether two virtual services are the same in all.
func (v VirtualService) Equal(other VirtualService) bool {
	return v.Key == other.Key && v.Scheduler == other.Scheduler && v.Affinity == other.Affinity &&
		slices.Equal(v.Destinations, other.Destinations)
}
