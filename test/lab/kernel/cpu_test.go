package kernel

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// TestPin: each takes a CPU of its own as long as there are any, and gives it back.
func TestPin(t *testing.T) {
	runtime.LockOSThread() // the thread ends with the test
	var before unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cpus := func() (now unix.CPUSet, count int) {
		if err := unix.SchedGetaffinity(0, &now); err != nil {
			t.Fatal(err)
		}
		return now, now.Count()
	}
	taken := map[unix.CPUSet]bool{}
	var releases []func()
	for range before.Count() {
		undo, release, err := pin(dir)
		now, count := cpus()
		if err != nil || count != 1 || taken[now] {
			t.Errorf("pinned to %d CPUs, %v; or to one of the %d that are taken", count, err, len(taken))
		}
		taken[now] = true
		releases = append(releases, release)
		undo()
		if now, count := cpus(); now != before {
			t.Errorf("after that this thread has %d CPUs, before %d", count, before.Count())
		}
	}
	_, _, err := pin(dir)
	if now, count := cpus(); err != nil || now != before {
		t.Errorf("pinned to %d CPUs, %v, though all are taken", count, err)
	}
	releases[0]()
	_, _, err = pin(dir)
	if _, count := cpus(); err != nil || count != 1 {
		t.Errorf("pinned to %d CPUs, %v, though one is free again", count, err)
	}
}
