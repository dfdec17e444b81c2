package kernel

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// TestPin: each takes a CPU that the fewest others have, to and fro, and gives it back.
func TestPin(t *testing.T) {
	runtime.LockOSThread() // the thread ends with the test
	var before unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		t.Fatal(err)
	}
	all := cpus(before)
	name := fmt.Sprintf("tombolo-test-%d", os.Getpid())
	pinned := func() (cpu int, release func()) {
		t.Helper()
		undo, release, err := pin(name)
		if err != nil {
			t.Fatal(err)
		}
		var now unix.CPUSet
		if err := unix.SchedGetaffinity(0, &now); err != nil {
			t.Fatal(err)
		}
		undo()
		if now.Count() != 1 {
			t.Fatalf("pinned to CPUs %v, want one", cpus(now))
		}
		var after unix.CPUSet
		if err := unix.SchedGetaffinity(0, &after); err != nil || after != before {
			t.Errorf("after that this thread has CPUs %v, before %v: %v", cpus(after), all, err)
		}
		return cpus(now)[0], release
	}

	want := slices.Clone(all)
	slices.Reverse(want)
	want = append(slices.Clone(all), want...) // two on each
	var got []int
	var releases []func()
	for range want {
		cpu, release := pinned()
		got, releases = append(got, cpu), append(releases, release)
	}
	if !slices.Equal(got, want) {
		t.Errorf("pinned to CPUs %v, want %v", got, want)
	}
	releases[len(all)-1]()
	if cpu, _ := pinned(); cpu != all[len(all)-1] {
		t.Errorf("pinned to CPU %d, want %d, which only one has by now", cpu, all[len(all)-1])
	}
}
