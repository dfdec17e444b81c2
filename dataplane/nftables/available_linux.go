package nftables

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
	"sigs.k8s.io/knftables"

	"github.com/tombolo-net/tombolo/internal/kernel/rtnl"
)

// oldestKernel is the first that can refuse in the hook prerouting.
const oldestKernel = "5.9"

// probes are parts of the table that each need something of the kernel's, the simplest first.
var probes = [...]struct {
	needs  string
	chains []string
}{
	{"maps (module nf_tables)", nil},
	{"reject (module nft_reject_inet)", []string{refuseChain}},
	{"base chains of type nat (module nft_chain_nat)", []string{preroutingChain, outputChain}},
	{"dnat (module nft_nat)", []string{stickyChain + "4", stickyChain + "6"}},
	{"numgen (module nft_numgen)", []string{"random4-2", "random6-2", "inc4-16", "inc6-16"}},
	{"jhash (module nft_hash)", []string{"hash4-16", "hash6-16"}},
	{"ct (module nft_ct) and the update of maps by packets", []string{rememberChain + "4-1", rememberChain + "6-1", rememberPreroutingChain, rememberOutputChain}},
}

// Available reports whether this node can serve by nftables. The error says what is missing, the
// program nft or a part of the kernel, and the remedy. It changes nothing: nft only checks what it
// would do.
func Available(ctx context.Context) error {
	if err := kernelVersion(); err != nil {
		return err
	}
	n, err := knftables.New(knftables.InetFamily, TableName)
	if err = missing(err); err != nil {
		if !known(err) {
			err = fmt.Errorf("%w: load the module nf_tables on the host with modprobe, and name it in /etc/modules-load.d: %w", ErrUnsupported, err)
		}
		return fmt.Errorf("starting nftables: %w", err)
	}
	var all []string
	for _, p := range probes {
		all = append(all, p.chains...)
	}
	if probe(ctx, n, all) == nil {
		return nil
	}
	for _, p := range probes {
		if err := probe(ctx, n, p.chains); err != nil {
			told := explain(err)
			if errors.Is(told, ErrNotPermitted) || errors.Is(told, ErrNoRoom) {
				return told
			}
			return fmt.Errorf("%w: %s: load the module on the host with modprobe and name it in /etc/modules-load.d, or take a newer kernel and nft: %w",
				ErrUnsupported, p.needs, err)
		}
	}
	return nil // each by itself; what failed has gone meanwhile
}

// probe checks whether a table with those chains could be made.
func probe(ctx context.Context, n knftables.Interface, chains []string) error {
	tx := n.NewTransaction()
	table := &knftables.Table{}
	tx.Add(table)
	tx.Delete(table)
	tx.Add(table)
	for _, m := range mappings(true) {
		tx.Add(m.object())
	}
	writeChains(tx, chains)
	return n.Check(ctx, tx)
}

func kernelVersion() error {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return fmt.Errorf("asking for the kernel's version: %w", err)
	}
	release := unix.ByteSliceToString(name.Release[:])
	if older(release, oldestKernel) {
		return fmt.Errorf("%w: it is Linux %s, and serving by nftables needs %s or later", ErrUnsupported, release, oldestKernel)
	}
	return nil
}

// older compares versions by their first two numbers. What is no version is not older.
func older(release, than string) bool {
	var a, b [2]int
	if n, err := fmt.Sscanf(release, "%d.%d", &a[0], &a[1]); n < 2 || err != nil {
		return false
	}
	if n, err := fmt.Sscanf(than, "%d.%d", &b[0], &b[1]); n < 2 || err != nil {
		return false
	}
	return a[0] < b[0] || a[0] == b[0] && a[1] < b[1]
}

// What keeps a node from serving by nftables, for errors.Is. The errors' texts have the remedy.
var (
	// ErrNoProgram: there is no nft, or it is too old.
	ErrNoProgram = errors.New("the program nft is missing or too old: install the package nftables, version 1.0.1 or later, where the dataplane runs")
	// ErrUnsupported: the kernel is too old, or lacks nftables or a part of it.
	ErrUnsupported = errors.New("the kernel lacks a part of nftables")
	// ErrNotPermitted: the kernel does not let us.
	ErrNotPermitted = errors.New("the dataplane may not change nftables")
	// ErrNoRoom: the kernel has no memory for what it should keep, or a map or buffer is full.
	ErrNoRoom = errors.New("nftables has no room")
)

// missing says what knftables could not start with.
func missing(err error) error {
	if err == nil {
		return nil
	}
	// knftables has no error of its own for an old one.
	if errors.Is(err, exec.ErrNotFound) || strings.Contains(err.Error(), "nft version must be") {
		return fmt.Errorf("%w: %w", ErrNoProgram, err)
	}
	return explain(err)
}

const (
	permit = rtnl.NeedsNetAdmin + "; where it has that, " +
		"another program owns the table (nft list tables shows flags owner), or a security module forbids it"
	parts = "load its modules on the host (nf_tables, nft_chain_nat, nft_nat, nft_numgen, nft_hash, nft_ct, nft_reject_inet)"
)

// remedies by what the kernel says.
var remedies = []struct {
	errno  unix.Errno
	kind   error
	remedy string
}{
	{unix.EPERM, ErrNotPermitted, permit},
	{unix.EACCES, ErrNotPermitted, permit},
	{unix.ENOMEM, ErrNoRoom, "the kernel has no memory for it: give the node more, or serve fewer endpoints"},
	{unix.ENOSPC, ErrNoRoom, "give the node more memory, or serve fewer endpoints"},
	{unix.ENFILE, ErrNoRoom, "a map is full: serve fewer endpoints"},
	{unix.ENOBUFS, ErrNoRoom, "netlink cannot take the kernel's answer: raise sysctl net.core.rmem_max to 8388608 on the host"},
	{unix.EMSGSIZE, ErrNoRoom, "netlink cannot take the request: raise sysctl net.core.wmem_max to 8388608 on the host, or give the dataplane the capability NET_ADMIN"},
	{unix.EPROTONOSUPPORT, ErrUnsupported, "load the module nf_tables on the host with modprobe, and name it in /etc/modules-load.d"},
	{unix.EOPNOTSUPP, ErrUnsupported, parts},
}

// kinds are the errors above.
var kinds = []error{ErrNoProgram, ErrUnsupported, ErrNotPermitted, ErrNoRoom}

// known reports whether the error is one of the kinds.
func known(err error) bool {
	return slices.ContainsFunc(kinds, func(kind error) bool { return errors.Is(err, kind) })
}

// explain adds the remedy to an error of the kernel's, once. nft tells those in words only.
func explain(err error) error {
	if err == nil || known(err) {
		return err
	}
	text := strings.ToLower(err.Error())
	for _, r := range remedies {
		if errors.Is(err, r.errno) || strings.Contains(text, r.errno.Error()) {
			return fmt.Errorf("%w: %s: %w", r.kind, r.remedy, err)
		}
	}
	return err
}

// Diagnose adds to an error that came of writing to nftables, or of reading it, what this node is
// missing, and the remedy. Where the error itself does not say it runs nft some times; it changes
// nothing.
func Diagnose(ctx context.Context, err error) error {
	if err == nil || ctx.Err() != nil {
		return err
	}
	told := explain(err)
	if errors.Is(told, ErrNoProgram) || errors.Is(told, ErrNotPermitted) || errors.Is(told, ErrNoRoom) {
		return told
	}
	switch why := Available(ctx); {
	case errors.Is(why, ErrNoProgram):
		return why
	case why != nil:
		return fmt.Errorf("%w; found after: %w", why, err)
	}
	return told
}
