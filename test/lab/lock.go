package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/tombolo-net/tombolo/test/harness/shell"
)

// lockFile holds the process ID of who runs the lab, and is locked (flock(2)) by it as long as that
// lives.
const lockFile = "lock"

// lock marks the run folder dir as this process's, until the returned file is closed.
func lock(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("locking run folder: %w", err)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = ErrRunning
	}
	if err == nil {
		_, err = f.WriteString(strconv.Itoa(os.Getpid()))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("locking run folder %s: %w", dir, err), f.Close())
	}
	return f, nil
}

// ErrRunning says that a run folder belongs to a lab that runs.
var ErrRunning = errors.New("a lab runs in it")

// Alive says whether a lab runs in the folder dir, starting and ending included.
func Alive(dir string) bool {
	f, err := os.Open(filepath.Join(dir, lockFile))
	if err != nil {
		return false
	}
	defer f.Close() // it is only read
	return unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB) != nil
}

// Remove removes the run folder of a lab that was killed. It ends with an error if a lab still runs
// in it, or if dir is not a run folder.
func Remove(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, topologyFile)); err != nil {
		return fmt.Errorf("removing run folder %s, which does not look like one: %w", dir, err)
	}
	f, err := lock(dir)
	if err != nil {
		return err
	}
	defer f.Close() // it goes with the folder
	return os.RemoveAll(dir)
}

// Down asks the process that runs the lab to end it, and returns when it is gone.
func (c *Client) Down(ctx context.Context) error {
	text, err := os.ReadFile(filepath.Join(c.dir, lockFile))
	if err != nil {
		return fmt.Errorf("finding the lab's process: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return fmt.Errorf("finding the lab's process: %w", err)
	}
	if !Alive(c.dir) {
		return nil
	}
	if err := unix.Kill(pid, syscall.SIGTERM); err != nil {
		return fmt.Errorf("asking the lab's process %d to end: %w", pid, err)
	}
	return shell.Poll(ctx, func(context.Context) error {
		if Alive(c.dir) {
			return fmt.Errorf("process %d still runs", pid)
		}
		return nil
	})
}
