//go:build kernel || integration

package netns

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// OwnFolder gives the namespace a folder of its own at that path, empty and in memory, as each node
// has. What runs in the namespace from now on sees it.
func (n *Namespace) OwnFolder(path string) {
	n.t.Helper()
	n.Do(func() { check(n.t, n.ownFolder(path), "giving a namespace its own "+path) })
	n.t.Cleanup(func() { n.mounts.Close() })
}

func (n *Namespace) ownFolder(path string) error {
	if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("making a mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keeping mounts from other namespaces: %w", err)
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", path, "tmpfs", 0, "mode=0755"); err != nil {
		return fmt.Errorf("mounting %s: %w", path, err)
	}
	mounts, err := os.Open("/proc/thread-self/ns/mnt")
	n.mounts = mounts
	return err
}

// enterMounts moves this thread, which shares its folder with no other afterwards, and leaves it in
// the folder that the test runs in.
func (n *Namespace) enterMounts() error {
	dir, err := os.Getwd()
	if err != nil {
		return err
	}
	if err := unix.Unshare(unix.CLONE_FS); err != nil {
		return fmt.Errorf("parting with the process's folder: %w", err)
	}
	if err := unix.Setns(int(n.mounts.Fd()), unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("entering a mount namespace: %w", err)
	}
	return os.Chdir(dir)
}
