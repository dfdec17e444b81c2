// Package guest is the part of PID 1 that every user-mode kernel of the lab
// needs: a root file system that is a copy-on-write view of the host's files,
// the kernel's own file systems, orphans reaped, and the power-off. Run does all
// of that for a single command.
//
// It boots no kernel (package kernel does, on the host) and knows nothing of
// Kubernetes (package node).
package guest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// mount is one file system of the new root. Missing targets are made.
type mount struct {
	source, target, fstype string
	flags                  uintptr
	data                   string
}

// Where the new root is put together, before it takes the place of the old one.
const (
	stage   = "/run"
	newRoot = stage + "/root"
)

// kernelMounts are the file systems that the kernel serves, in mounting order.
var kernelMounts = []mount{
	{"proc", "/proc", "proc", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, ""},
	{"sysfs", "/sys", "sysfs", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, ""},
	{"devtmpfs", "/dev", "devtmpfs", unix.MS_NOSUID, "mode=0755"},
	{"devpts", "/dev/pts", "devpts", unix.MS_NOSUID | unix.MS_NOEXEC, "gid=5,mode=620,ptmxmode=666"},
	{"tmpfs", "/dev/shm", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777"},
	{"mqueue", "/dev/mqueue", "mqueue", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, ""},
	{"cgroup2", "/sys/fs/cgroup", "cgroup2", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, ""},
	{"tmpfs", "/run", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=0755"},
}

// EnterRoot replaces the root, which is the host's own files, by an overlay in
// memory over them, and mounts the kernel's file systems. Only the folders in
// shared, absolute paths of the host, stay the host's: what is written there is
// written on the host.
func EnterRoot(shared ...string) error {
	if err := mountOverlay(); err != nil {
		return err
	}
	for _, m := range kernelMounts {
		if err := m.mount(newRoot); err != nil {
			return err
		}
	}
	for _, dir := range shared {
		if err := (mount{dir, dir, "", unix.MS_BIND, ""}).mount(newRoot); err != nil {
			return err
		}
	}
	if err := pivot(); err != nil {
		return err
	}
	return hideUnreadable()
}

func mountOverlay() error {
	if err := (mount{"tmpfs", stage, "tmpfs", 0, "mode=0755,size=90%"}).mount("/"); err != nil {
		return err
	}
	for _, dir := range []string{"/upper", "/work", "/root"} {
		if err := os.Mkdir(stage+dir, 0o755); err != nil {
			return fmt.Errorf("making the overlay's folders: %w", err)
		}
	}
	options := "lowerdir=/,upperdir=" + stage + "/upper,workdir=" + stage + "/work"
	return mount{"overlay", newRoot, "overlay", 0, options}.mount("/")
}

// pivot makes newRoot the root and forgets the old one.
func pivot() error {
	if err := os.Chdir(newRoot); err != nil {
		return fmt.Errorf("entering the new root: %w", err)
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivoting to the new root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmounting the old root: %w", err)
	}
	return os.Chdir("/")
}

// hideUnreadable puts an empty folder over those that the kernel's host user
// may not read: root in here would be denied, too, which nothing expects.
func hideUnreadable() error {
	var errs []error
	for _, dir := range []string{"/root", "/var/lib", "/var/cache", "/var/log", "/etc/ssl/private"} {
		if _, err := os.ReadDir(dir); errors.Is(err, os.ErrPermission) {
			errs = append(errs, mount{"tmpfs", dir, "tmpfs", 0, "mode=0755"}.mount("/"))
		}
	}
	return errors.Join(errs...)
}

func (m mount) mount(root string) error {
	target := filepath.Join(root, m.target)
	if err := os.MkdirAll(target, 0o755); err != nil {
		return fmt.Errorf("making the mount point %s: %w", m.target, err)
	}
	if err := unix.Mount(m.source, target, m.fstype, m.flags, m.data); err != nil {
		return fmt.Errorf("mounting %s on %s: %w", m.source, m.target, err)
	}
	return nil
}

// MountHost shows the host's files as they are at dir, read-only: unlike the
// overlay's, this view shows what the host writes after the boot.
func MountHost(dir string) error { return mountHost("/", dir) }

// mountHost shows the host's folder source at dir, read-only.
func mountHost(source, dir string) error {
	return mount{"none", dir, "hostfs", unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV, source}.mount("/")
}

// MountMemory puts an empty folder in memory over dir.
func MountMemory(dir string) error {
	return mount{"tmpfs", dir, "tmpfs", 0, "mode=0755"}.mount("/")
}
