package nftables

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"
	"sigs.k8s.io/knftables"
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

// Available tells whether this node can serve by nftables. The error says what is missing, the program nft or a part of
// the kernel, and the remedy. It changes nothing: nft only checks what it would do.
func Available(ctx context.Context) error {
	if err := kernelVersion(); err != nil {
		return err
	}
	n, err := knftables.New(knftables.InetFamily, TableName)
	if err != nil {
		return fmt.Errorf("starting nftables: %w", missing(err))
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
			return fmt.Errorf("nftables lacks %s: load the kernel module on the host with modprobe and name it in /etc/modules-load.d, or take a newer kernel and nft: %w",
				p.needs, explain(err))
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
		return fmt.Errorf("the kernel is %s: serving by nftables needs Linux %s or later", release, oldestKernel)
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

// missing says what knftables could not start with.
func missing(err error) error {
	if errors.Is(err, exec.ErrNotFound) {
		return fmt.Errorf("the program nft is missing: install the package nftables, version 1.0.1 or later, where the dataplane runs: %w", err)
	}
	return explain(err)
}

// remedies by what the kernel says.
var remedies = []struct {
	errno  unix.Errno
	remedy string
}{
	{unix.EPERM, "the dataplane may not change nftables: it needs the capability NET_ADMIN (securityContext.capabilities.add of its DaemonSet)"},
	{unix.EACCES, "the dataplane may not change nftables: it needs the capability NET_ADMIN (securityContext.capabilities.add of its DaemonSet)"},
	{unix.ENOMEM, "the kernel has no memory for it: give the node more, or serve fewer endpoints"},
	{unix.ENOSPC, "the kernel has no room for it: give the node more memory, or serve fewer endpoints"},
	{unix.ENFILE, "a map is full: serve fewer endpoints"},
	{unix.ENOBUFS, "netlink has no room for the kernel's answer: raise sysctl net.core.rmem_max to 8388608 on the host"},
	{unix.EMSGSIZE, "netlink has no room for the request: raise sysctl net.core.wmem_max to 8388608 on the host, or give the dataplane the capability NET_ADMIN"},
	{unix.EPROTONOSUPPORT, "the kernel has no nftables: load the module nf_tables on the host with modprobe, and name it in /etc/modules-load.d"},
	{unix.EOPNOTSUPP, "the kernel lacks a part of nftables: load its modules on the host (nf_tables, nft_chain_nat, nft_nat, nft_numgen, nft_hash, nft_ct, nft_reject_inet)"},
}

// explain adds the remedy to an error of the kernel's. nft tells those in words only.
func explain(err error) error {
	if err == nil {
		return nil
	}
	text := strings.ToLower(err.Error())
	for _, r := range remedies {
		if errors.Is(err, r.errno) || strings.Contains(text, r.errno.Error()) {
			return fmt.Errorf("%s: %w", r.remedy, err)
		}
	}
	return err
}
