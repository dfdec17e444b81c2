package ipvs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ErrNoModule says that this kernel has no IPVS.
var ErrNoModule = errors.New("the kernel module ip_vs is missing: load it on the host with `modprobe ip_vs`, and name it in /etc/modules-load.d so that it is there after a reboot")

// ErrNoScheduler says that this kernel has IPVS, but not the scheduler that was asked for.
var ErrNoScheduler = errors.New("the kernel module of the scheduler is missing")

// A table is dumped for what is more than one part in dumpShare of it; fewer services are looked up, which costs as much as
// so many of them in a dump. fewKeys are looked up always.
const fewKeys, dumpShare = 16, 16

// Table is the IPVS table of the network namespace of whoever calls. The zero Table is ready to use; it is not safe
// for concurrent use.
type Table struct {
	socket  *socket // nil until it is opened
	counter counter
	// counted is how many IPv4 services there were when the table was last repaired, written, or counted.
	counted uint32
}

func (t *Table) count() {
	t.counted = 0
	if n, err := t.counter.count(); err == nil {
		t.counted = n
	}
}

// Close gives back the sockets. The Table opens new ones when it is used again.
func (t *Table) Close() {
	t.counter.close()
	t.hangUp()
}

// hangUp closes the netlink socket, so that no answer to a question that failed is taken for one to the next.
func (t *Table) hangUp() {
	if t.socket != nil {
		t.socket.close()
		t.socket = nil
	}
}

// Available tells whether the kernel has IPVS; the error is ErrNoModule if it has not.
func Available() error {
	_, err := family()
	return err
}

func family() (uint16, error) {
	f, err := netlink.GenlFamilyGet("IPVS")
	if errors.Is(err, unix.ENOENT) {
		return 0, ErrNoModule
	}
	if err != nil {
		return 0, fmt.Errorf("asking for the netlink family IPVS: %w", err)
	}
	return f.ID, nil
}

// open resolves the family anew on every failure, so that a module that is loaded later is found.
func (t *Table) open() error {
	if t.socket != nil {
		return nil
	}
	id, err := family()
	if err != nil {
		return err
	}
	t.socket, err = dial(id)
	return err
}

// Scope says which virtual services of the kernel are ours.
type Scope struct {
	// VIPs are the blocks inside which marked services are ours.
	VIPs []netip.Prefix
	// Wanted services are ours, marked or not.
	Wanted Config
}

func (s Scope) contains(a netip.Addr) bool {
	return slices.ContainsFunc(s.VIPs, func(p netip.Prefix) bool { return p.Contains(a) })
}

// ReadServices dumps the table once: our services in it, without their destinations, and the keys of others' services
// inside our VIP CIDRs, sorted. Errors are ErrNoModule, EPERM and what else netlink says.
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

// Read returns our services in the kernel with their destinations, and the keys of others' services inside our VIP
// CIDRs.
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

// Done is what was applied.
type Done struct {
	// Count of the operations.
	Count int
	// First are the first few of them, for messages.
	First []Operation
}

// firstFew is how many operations a Done names.
const firstFew = 16

func (d *Done) add(op Operation) {
	d.Count++
	if len(d.First) < firstFew {
		d.First = append(d.First, op)
	}
}

// Apply does what the Change says, in its order and in as few system calls as the socket's buffer allows. Every
// operation is tried; what is there already is changed instead of added, what is gone already counts as deleted.
// It returns what was applied, and the joined errors of what was not.
func (t *Table) Apply(ctx context.Context, change Change) (Done, error) {
	var done Done
	var failed failures
	batch := make([]Operation, 0, batchSize)
	for op := range change {
		if batch = append(batch, op); len(batch) < batchSize {
			continue
		}
		if err := t.applyBatch(ctx, batch, &done, &failed); err != nil {
			return done, errors.Join(failed.summary(), err)
		}
		batch = batch[:0]
	}
	if len(batch) > 0 {
		if err := t.applyBatch(ctx, batch, &done, &failed); err != nil {
			return done, errors.Join(failed.summary(), err)
		}
	}
	if done.Count > 0 {
		t.count()
	}
	return done, failed.summary()
}

// applyBatch tries up to batchSize operations; the error is one of the socket's.
func (t *Table) applyBatch(ctx context.Context, ops []Operation, done *Done, failed *failures) error {
	if err := errors.Join(ctx.Err(), t.open()); err != nil {
		return err
	}
	answers, err := t.socket.execute(ops)
	if err != nil {
		t.hangUp()
		return fmt.Errorf("writing to the IPVS table: %w", err)
	}
	for i, errno := range answers {
		if err := t.settle(ops[i], errno); err != nil {
			failed.add(fmt.Errorf("%s: %w", ops[i], err))
			continue
		}
		done.add(ops[i])
	}
	return nil
}

// settle judges the kernel's answer to an operation: nil if its aim is reached.
func (t *Table) settle(op Operation, errno unix.Errno) error {
	switch {
	case errno == 0:
		return nil
	case errno == unix.EEXIST && (op.Verb == AddService || op.Verb == AddDestination):
		op.Verb++ // to Set, of the same thing
		answers, err := t.socket.execute([]Operation{op})
		if err != nil {
			return err
		}
		return t.settle(op, answers[0])
	case (errno == unix.ESRCH || errno == unix.ENOENT) && (op.Verb == DeleteService || op.Verb == DeleteDestination):
		return nil
	case errno == unix.ENOENT && (op.Verb == AddService || op.Verb == SetService):
		return fmt.Errorf("scheduler %s: %w: load it on the host with `modprobe ip_vs_%s`", op.Service.Scheduler, ErrNoScheduler, op.Service.Scheduler)
	}
	return errno
}

// maxErrors is how many errors of one Apply are spelt out.
const maxErrors = 5

// failures are what an Apply could not do.
type failures struct {
	first []error
	more  int
}

func (f *failures) add(err error) {
	if len(f.first) < maxErrors {
		f.first = append(f.first, err)
	} else {
		f.more++
	}
}

func (f *failures) summary() error {
	if f.more > 0 {
		return errors.Join(append(slices.Clip(f.first), fmt.Errorf("and %d more errors", f.more))...)
	}
	return errors.Join(f.first...)
}

// Result is what a pass found and did.
type Result struct {
	// Done is what was applied.
	Done Done
	// Foreign are the keys of others' services inside our VIP CIDRs, sorted.
	Foreign []Key
}

// Sync makes our part of the table match scope.Wanted, reading all of it. It is safe to repeat.
func (t *Table) Sync(ctx context.Context, scope Scope) (Result, error) {
	have, foreign, err := t.Read(ctx, scope)
	if err != nil {
		return Result{}, err
	}
	done, err := t.Apply(ctx, Diff(have, scope.Wanted))
	return Result{Done: done, Foreign: foreign}, err
}

// SyncKeys makes those services match scope.Wanted and looks at no other: a key that is not wanted is deleted.
func (t *Table) SyncKeys(ctx context.Context, scope Scope, keys []Key) (Done, error) {
	have, err := t.readKeys(ctx, scope, keys)
	if err != nil {
		return Done{}, err
	}
	return t.Apply(ctx, Diff(have, scope.Wanted.Only(keys)))
}

// Repair finds what others did to the table and mends it. It dumps the services once, since what wipes the table
// takes whole services, and reads the destinations of those that are wrong, and of those with the given keys.
func (t *Table) Repair(ctx context.Context, scope Scope, keys []Key) (Result, error) {
	t.count() // before the dump, so that what is changed meanwhile shows
	wrong, foreign, err := t.wrong(ctx, scope)
	if err != nil {
		return Result{}, err
	}
	have, err := t.readKeys(ctx, scope, wrong)
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

// wrong are the keys of services that differ without a look at their destinations, and those of others' services inside
// our VIP CIDRs, sorted. It remembers none of the services as it reads them: mostly all are right.
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

// Recount tells whether there are as many IPv4 services, whosesoever they be, as when the table was last repaired,
// written, or counted here. It costs one system call, however many there are. IPv6 services do not count, and nobody's
// do where the kernel does not tell.
func (t *Table) Recount() (same bool) {
	before := t.counted
	t.count()
	return t.counted == before
}

// Glance tells whether those virtual services are as wanted, but for their destinations. It costs a system call for each,
// and one more: who wipes the table takes all, so that a few tell.
func (t *Table) Glance(ctx context.Context, want Config, keys []Key) (bool, error) {
	have, err := t.lookup(ctx, keys)
	if err != nil {
		return false, err
	}
	return len(wrongServices(have, want.Only(keys))) == 0, nil
}

// wrongServices are the keys whose services differ without a look at their destinations.
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
