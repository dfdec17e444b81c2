package ipvs

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Repair finds and undoes what others did to the table. It dumps the services once, since a program
// that wipes the table deletes whole services. It reads the destinations of the services that are
// wrong, and of those with the given keys.
func (t *Table) Repair(ctx context.Context, scope Scope, keys []Key) (Result, error) {
	t.count() // before the dump, so that what is changed meanwhile shows
	wrong, foreign, err := t.wrong(ctx, scope)
	if err != nil {
		return Result{}, err
	}
	have, err := t.readKeys(ctx, scope, wrong)
	if err == nil {
		err = t.confirm(ctx, have, wrong)
	}
	if err != nil {
		return Result{Foreign: foreign}, err
	}
	right := slices.DeleteFunc(slices.Clone(keys), func(key Key) bool {
		service, wanted := scope.Wanted.Services[key]
		if !wanted || slices.Contains(wrong, key) {
			return true
		}
		service.Destinations = nil
		have.Services[key] = service
		return false
	})
	if err := t.readDestinations(ctx, have, right); err != nil {
		return Result{Foreign: foreign}, err
	}
	done, err := t.Apply(ctx, Diff(have, scope.Wanted.Only(slices.Concat(wrong, right))))
	return Result{Done: done, Foreign: foreign}, err
}

// wrong returns the keys of services that differ, whatever their destinations, and the sorted keys
// of others' services inside our VIP CIDRs. It keeps no service that it reads: mostly all are
// right.
func (t *Table) wrong(ctx context.Context, scope Scope) (wrong, foreign []Key, err error) {
	if err := errors.Join(ctx.Err(), t.open()); err != nil {
		return nil, nil, err
	}
	seen := 0
	err = t.socket.eachService(func(key Key, have Service) {
		want, wanted := scope.Wanted.Services[key]
		if wanted {
			seen++
		}
		switch inside := wanted || scope.contains(key.Address); {
		case wanted && have.alike(want):
		case wanted, inside && !have.Unmarked:
			wrong = append(wrong, key)
		case inside:
			foreign = append(foreign, key)
		}
	})
	if err != nil {
		t.hangUp()
		return nil, nil, fmt.Errorf("listing virtual services: %w", err)
	}
	slices.SortFunc(foreign, Key.Compare)
	if seen == len(scope.Wanted.Services) {
		return wrong, foreign, nil
	}
	have, foreign, err := t.ReadServices(ctx, scope)
	return wrongServices(have, scope.Wanted), foreign, err
}

// Recount reports whether the kernel has as many IPv4 services, ours or not, as when the table was
// last repaired, written or counted here. It costs one system call, however many there are. IPv6
// services do not count. Where the kernel does not say how many there are, no service counts.
func (t *Table) Recount() (same bool) {
	before := t.counted
	t.count()
	return t.counted == before
}

// Glance reports whether those virtual services are as wanted, whatever their destinations. It
// costs one system call for each, and one more. A few are enough: a program that wipes the table
// deletes all.
func (t *Table) Glance(ctx context.Context, want Config, keys []Key) (bool, error) {
	have, err := t.lookup(ctx, keys)
	if err != nil {
		return false, err
	}
	return len(wrongServices(have, want.Only(keys))) == 0, nil
}

// wrongServices returns the keys whose services differ, whatever their destinations.
func wrongServices(have, want Config) []Key {
	var wrong []Key
	for key, service := range want.Services {
		old, ok := have.Services[key]
		if !ok || !old.alike(service) {
			wrong = append(wrong, key)
		}
	}
	for key := range have.Services {
		if _, wanted := want.Services[key]; !wanted {
			wrong = append(wrong, key)
		}
	}
	return wrong
}
