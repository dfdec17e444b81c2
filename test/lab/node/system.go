package node

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/tombolo-net/tombolo/test/lab/kernel/guest"
)

// hostRoot is where a node sees the host's files as they are, read-only.
const hostRoot = "/run/lab/host"

// stateDir holds what PID 1 writes for its components.
const stateDir = "/run/lab"

// memoryDirs are folders of their own in memory: what the host has there is not
// the node's business, and containerd's layers cannot lie on an overlay.
var memoryDirs = []string{
	"/etc/cni/net.d", "/opt/cni/bin", "/var/lib/cni", "/var/lib/containerd", "/var/lib/kubelet", "/var/log",
}

// sysctls are what a Kubernetes node has.
var sysctls = map[string]string{
	"net.ipv4.ip_forward":                 "1",
	"net.ipv4.conf.all.forwarding":        "1",
	"net.ipv6.conf.all.forwarding":        "1",
	"net.ipv6.conf.all.accept_ra":         "0",
	"net.ipv6.conf.default.accept_ra":     "0",
	"net.ipv6.conf.all.accept_dad":        "0",
	"net.ipv6.conf.default.accept_dad":    "0",
	"net.bridge.bridge-nf-call-iptables":  "1",
	"net.bridge.bridge-nf-call-ip6tables": "1",
	"net.core.somaxconn":                  "4096",
	"fs.inotify.max_user_instances":       "8192",
	"fs.inotify.max_user_watches":         "524288",
	"kernel.pid_max":                      "32768",
	"vm.overcommit_memory":                "1",
}

// enterRoot makes the node's own root, of which the node's folder stays the
// host's.
func enterRoot(cfg Config) error {
	if err := guest.EnterRoot(append(cfg.Writable, cfg.Dir)...); err != nil {
		return err
	}
	if err := guest.MountHost(hostRoot); err != nil {
		return err
	}
	for _, dir := range memoryDirs {
		if err := guest.MountMemory(dir); err != nil {
			return err
		}
	}
	if err := keepDisk(cfg); err != nil {
		return err
	}
	// As on any Kubernetes node: volumes that pods mount are seen by others.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return fmt.Errorf("sharing the root's mounts: %w", err)
	}
	return nil
}

// diskDir is the folder of the node that is still there when it boots again.
const diskDir = "/var/lib/tombolo"

// keepDisk shows a part of the node's folder on the host as diskDir. If that is not root's, because the
// lab runs as another user, diskDir is empty after each boot: containers could not use it.
func keepDisk(cfg Config) error {
	disk := filepath.Join(cfg.Dir, "disk")
	if err := os.MkdirAll(disk, 0o755); err != nil {
		return fmt.Errorf("making the node's disk: %w", err)
	}
	var state unix.Stat_t
	if err := unix.Stat(disk, &state); err != nil {
		return fmt.Errorf("reading the node's disk: %w", err)
	}
	if state.Uid != 0 {
		return guest.MountMemory(diskDir)
	}
	if err := os.MkdirAll(diskDir, 0o755); err != nil {
		return fmt.Errorf("making %s: %w", diskDir, err)
	}
	if err := unix.Mount(disk, diskDir, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("showing the node's disk: %w", err)
	}
	return nil
}

// writeSystemFiles gives the node its names, and its kernel's CPU a clock rate.
func writeSystemFiles(cfg Config) error {
	var hosts, resolv strings.Builder
	hosts.WriteString("127.0.0.1 localhost\n::1 localhost\n")
	for _, a := range cfg.Addresses {
		fmt.Fprintln(&hosts, a.Addr(), cfg.Name)
	}
	for _, r := range cfg.Resolvers {
		fmt.Fprintln(&resolv, "nameserver", r)
	}
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never fails, crypto/rand says
	return errors.Join(
		writeFile("/etc/hosts", hosts.String()),
		replaceFile("/etc/resolv.conf", resolv.String()), // often a link into /run
		writeFile("/etc/machine-id", fmt.Sprintf("%x\n", id)),
		fixCPUInfo(),
	)
}

// fixCPUInfo covers /proc/cpuinfo by a copy with a clock rate, which a user-mode
// kernel does not print and without which the kubelet's cAdvisor does not start.
func fixCPUInfo() error {
	const cpuinfo = "/proc/cpuinfo"
	text, err := os.ReadFile(cpuinfo)
	if err != nil {
		return fmt.Errorf("reading the CPU's description: %w", err)
	}
	if bytes.Contains(text, []byte("cpu MHz")) {
		return nil
	}
	fixed := bytes.ReplaceAll(text, []byte("bogomips"), []byte("cpu MHz\t\t: 2000.000\nbogomips"))
	path := filepath.Join(stateDir, "cpuinfo")
	if err := writeFile(path, string(fixed)); err != nil {
		return err
	}
	if err := unix.Mount(path, cpuinfo, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("covering %s: %w", cpuinfo, err)
	}
	return nil
}

// replaceFile writes a file in the place of whatever is there.
func replaceFile(path, text string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("replacing %s: %w", path, err)
	}
	return writeFile(path, text)
}

// writeFile writes a file and makes its folder.
func writeFile(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}
