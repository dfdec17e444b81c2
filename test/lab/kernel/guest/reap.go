package guest

import (
	"bytes"
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// reapInterval is how long a child that has ended is left to whoever may wait
// for it.
const reapInterval = time.Second

// Reap collects the orphans that end up with PID 1, until ctx ends. Children
// that PID 1 has started itself belong to whoever waits for them: only what is
// still a zombie an interval after it was first seen is an orphan.
func Reap(ctx context.Context) {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, unix.SIGCHLD)
	defer signal.Stop(ended)
	for {
		select {
		case <-ctx.Done():
			return
		case <-ended: // and whatever else ends during the passes
		}
		seen := map[int]bool{}
		for first := true; first || len(seen) > 0; first = false {
			select {
			case <-ctx.Done():
				return
			case <-time.After(reapInterval):
				seen = reapOnce(seen)
			}
		}
	}
}

// reapOnce reaps the zombies that are in before, and returns the others.
func reapOnce(before map[int]bool) map[int]bool {
	now := map[int]bool{}
	for _, pid := range children() {
		switch {
		case !isZombie(pid):
		case before[pid]:
			_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil)
		default:
			now[pid] = true
		}
	}
	return now
}

// children returns the process IDs of PID 1's children.
func children() []int {
	files, _ := filepath.Glob("/proc/1/task/*/children")
	var pids []int
	for _, f := range files {
		text, _ := os.ReadFile(f) // a thread that has gone has no children
		for field := range strings.FieldsSeq(string(text)) {
			if pid, err := strconv.Atoi(field); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// isZombie tells whether pid has ended and was not waited for yet.
func isZombie(pid int) bool {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, rest, ok := bytes.Cut(text, []byte(") ")) // proc(5): the state follows the name
	return ok && bytes.HasPrefix(rest, []byte("Z"))
}
