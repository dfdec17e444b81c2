package testbin

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// lockPoll is how often a waiting run tries again. flock(2) itself cannot be
// interrupted through a context.
const lockPoll = 200 * time.Millisecond

// lock takes the store for one run. If another run has it, waiting is called
// at once and at each further try with that run's process ID ("" if it is not
// known yet). The kernel drops the lock when the process ends, however it ends.
func (s *store) lock(ctx context.Context, waiting func(pid string)) (release func() error, err error) {
	if err := os.MkdirAll(s.root, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(s.root, "lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	if err := waitForLock(ctx, f, waiting); err != nil {
		return nil, errors.Join(fmt.Errorf("locking %s: %w", f.Name(), err), f.Close())
	}
	err = errors.Join(f.Truncate(0), writeAt0(f, fmt.Sprintln(os.Getpid())))
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f.Close, nil
}

func waitForLock(ctx context.Context, f *os.File, waiting func(pid string)) error {
	tick := time.NewTicker(lockPoll)
	defer tick.Stop()
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return err
		}
		pid, _ := os.ReadFile(f.Name()) // for the message only
		waiting(strings.TrimSpace(string(pid)))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func writeAt0(f *os.File, text string) error {
	_, err := f.WriteAt([]byte(text), 0)
	return err
}
