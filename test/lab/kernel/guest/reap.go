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

// reapInterval is the time between two looks at the children. One that is a zombie in reapLooks of
// them is an orphan. More than one look after the first is needed: when the host stalls, two of
// them come right after each other, before whoever waits for the child has had the CPU.
const (
	reapInterval = 500 * time.Millisecond
	reapLooks    = 4
)

// Reap collects the orphans that end up with PID 1, until ctx ends. Children that PID 1 has started
// itself belong to whoever waits for them: only what stays a zombie is an orphan.
func Reap(ctx context.Context) {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, unix.SIGCHLD)
	defer signal.Stop(ended)
	for {
		select {
		case <-ctx.Done():
			return
		case <-ended: // and whatever else ends during the looks
		}
		seen := map[int]int{}
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

// reapOnce reaps the zombies that it sees for the last of their looks. It returns how often it has
// seen the others.
func reapOnce(before map[int]int) map[int]int {
	now := map[int]int{}
	for _, pid := range children() {
		switch {
		case !isZombie(pid):
		case before[pid]+1 >= reapLooks:
			_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil)
		default:
			now[pid] = before[pid] + 1
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
