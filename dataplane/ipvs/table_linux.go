package ipvs

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ErrNoModule says that this kernel has no IPVS.
var ErrNoModule = errors.New("the kernel module ip_vs is missing: load it on the host with `modprobe ip_vs`, and name it in /etc/modules-load.d so that it is there after a reboot")

// ErrNoScheduler says that this kernel has IPVS, but not the scheduler that was asked for.
var ErrNoScheduler = errors.New("the kernel module of the scheduler is missing")

// Table is the IPVS table of the caller's network namespace. The zero Table is ready to use. It is
// not safe for concurrent use.
type Table struct {
	socket  *socket // nil until it is opened
	counter counter
	// counted is how many IPv4 services there were when the table was last repaired, written, or
	// counted.
	counted uint32
}

// count remembers how many IPv4 services there are.
func (t *Table) count() {
	t.counted = 0
	if n, err := t.counter.count(); err == nil {
		t.counted = n
	}
}

// Close closes the sockets. The Table opens new ones when it is used again.
func (t *Table) Close() {
	t.counter.close()
	t.hangUp()
}

// hangUp closes the netlink socket after a question that failed, so that a late answer does not
// pass for one to the next.
func (t *Table) hangUp() {
	if t.socket != nil {
		t.socket.close()
		t.socket = nil
	}
}

// Available reports whether the kernel has IPVS. The error is ErrNoModule if it has not.
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

// open asks for the family again after every failure, so that it finds a module that is loaded
// later.
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
	if err == nil && len(have.Services) > 0 {
		err = t.confirm(ctx, have, scope.Wanted.Keys())
	}
	if err != nil {
		return Result{}, err
	}
	done, err := t.Apply(ctx, Diff(have, scope.Wanted))
	return Result{Done: done, Foreign: foreign}, err
}

// SyncKeys makes those services match scope.Wanted and looks at no other: a key that is not wanted
// is deleted.
func (t *Table) SyncKeys(ctx context.Context, scope Scope, keys []Key) (Done, error) {
	have, err := t.readKeys(ctx, scope, keys)
	if err != nil {
		return Done{}, err
	}
	unwanted := slices.DeleteFunc(slices.Clone(keys), func(key Key) bool { _, wanted := scope.Wanted.Services[key]; return wanted })
	if err := t.confirm(ctx, have, unwanted); err != nil {
		return Done{}, err
	}
	return t.Apply(ctx, Diff(have, scope.Wanted.Only(keys)))
}
