package ipvs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// Looking up one service costs as much as dumpShare services in a dump. So a table is dumped for
// more than one part in dumpShare of it, and fewer services are looked up. Up to fewKeys are always
// looked up.
const fewKeys, dumpShare = 16, 16

// ReadServices dumps the table once. It returns our services, without their destinations, and the
// sorted keys of others' services inside our VIP CIDRs. Errors are ErrNoModule, EPERM and what else
// netlink says.
func (t *Table) ReadServices(ctx context.Context, scope Scope) (ours Config, foreign []Key, err error) {
	if err := errors.Join(ctx.Err(), t.open()); err != nil {
		return Config{}, nil, err
	}
	dump, err := t.socket.services()
	if err != nil {
		t.hangUp()
		return Config{}, nil, fmt.Errorf("listing virtual services: %w", err)
	}
	ours.Services = make(map[Key]Service, len(dump))
	for key, service := range dump {
		_, wanted := scope.Wanted.Services[key]
		inside := scope.contains(key.Address)
		switch {
		case wanted, inside && !service.Unmarked:
			ours.Services[key] = service
		case inside:
			foreign = append(foreign, key)
		}
	}
	slices.SortFunc(foreign, Key.Compare)
	return ours, foreign, nil
}

// Read returns our services in the kernel with their destinations, and the keys of others' services
// inside our VIP CIDRs.
func (t *Table) Read(ctx context.Context, scope Scope) (ours Config, foreign []Key, err error) {
	ours, foreign, err = t.ReadServices(ctx, scope)
	if err != nil {
		return Config{}, nil, err
	}
	err = t.readDestinations(ctx, ours, ours.Keys())
	return ours, foreign, err
}

// readKeys returns those of the keys that the kernel has, with their destinations.
func (t *Table) readKeys(ctx context.Context, scope Scope, keys []Key) (Config, error) {
	if len(keys) > max(fewKeys, len(scope.Wanted.Services)/dumpShare) {
		ours, _, err := t.ReadServices(ctx, scope)
		if err != nil {
			return Config{}, err
		}
		part := ours.Only(keys)
		return part, t.readDestinations(ctx, part, part.Keys())
	}
	part, err := t.lookup(ctx, keys)
	if err != nil {
		return Config{}, err
	}
	return part, t.readDestinations(ctx, part, part.Keys())
}

// lookup returns those of the keys that the kernel has, without their destinations.
func (t *Table) lookup(ctx context.Context, keys []Key) (Config, error) {
	part := Config{Services: make(map[Key]Service, len(keys))}
	for some := range slices.Chunk(keys, lookupBatch) {
		if err := errors.Join(ctx.Err(), t.open()); err != nil {
			return Config{}, err
		}
		found, err := t.socket.lookup(some)
		if err != nil {
			t.hangUp()
			return Config{}, fmt.Errorf("reading virtual services, %s first: %w", some[0], err)
		}
		maps.Copy(part.Services, found)
	}
	return part, nil
}

// confirm looks for services with those keys that are not in what was listed, and adds them. While the
// kernel moves services to a larger table, a listing may leave some out (seen with Linux 7.2).
func (t *Table) confirm(ctx context.Context, listed Config, keys []Key) error {
	missing := slices.DeleteFunc(slices.Clone(keys), func(key Key) bool { _, there := listed.Services[key]; return there })
	found, err := t.lookup(ctx, missing)
	if err != nil {
		return err
	}
	if err := t.readDestinations(ctx, found, found.Keys()); err != nil {
		return err
	}
	maps.Copy(listed.Services, found.Services)
	return nil
}

// readDestinations fills in the destinations of those services.
func (t *Table) readDestinations(ctx context.Context, config Config, keys []Key) error {
	for _, key := range keys {
		if err := errors.Join(ctx.Err(), t.open()); err != nil {
			return err
		}
		destinations, err := t.socket.destinations(key)
		if err != nil {
			t.hangUp()
			return fmt.Errorf("listing destinations of virtual service %s: %w", key, err)
		}
		service := config.Services[key]
		service.Destinations = destinations
		slices.SortFunc(service.Destinations, Destination.Compare)
		config.Services[key] = service
	}
	return nil
}
