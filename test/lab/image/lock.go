package image

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// lockRetry is how long a process waits before it asks again for a cache that another one holds.
const lockRetry = 200 * time.Millisecond

// locked calls f while no other process works on the cache.
func (s *store) locked(ctx context.Context, f func() error) error {
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return fmt.Errorf("making the images' cache: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(s.dir, "lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return fmt.Errorf("opening the lock of the images' cache: %w", err)
	}
	defer lock.Close() // which unlocks
	for {
		err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			break
		}
		if err != unix.EWOULDBLOCK && err != unix.EINTR {
			return fmt.Errorf("locking the images' cache %s: %w", s.dir, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the images' cache %s: %w", s.dir, context.Cause(ctx))
		case <-time.After(lockRetry):
		}
	}
	s.removeStale()
	return f()
}

// removeStale removes what a process has left behind that was killed while it built.
func (s *store) removeStale() {
	stale, _ := filepath.Glob(filepath.Join(s.dir, buildPattern)) // the pattern is well-formed
	for _, dir := range stale {
		os.RemoveAll(dir)
	}
}
