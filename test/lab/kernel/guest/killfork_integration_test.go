//go:build integration

package guest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tombolo-net/tombolo/test/lab/kernel"
)

const (
	// killForkEnv makes the test's binary the command inside the kernel.
	killForkEnv = "GUEST_KILL_FORK"
	// killForkTime is how long it forks and kills. A user-mode Linux 6.12 panics after 2 s.
	killForkTime = 10 * time.Second
)

// TestKillDuringFork kills processes in the middle of a fork, again and again, as container runtimes
// and probes do. In Linux 6.12, dup_mmap (kernel/fork.c) leaves a marker among the areas of a child
// that was cut short, which a user-mode kernel's flush_tlb_mm took for an area: the kernel panicked.
func TestKillDuringFork(t *testing.T) {
	if os.Getenv(killForkEnv) != "" {
		kills, err := killForks(time.Now().Add(killForkTime))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Printf("survived %d kills in %s\n", kills, killForkTime)
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(killForkEnv, "1")
	got := runCommand(t.Context(), t, kernel.Command{Args: []string{self, "-test.run=^TestKillDuringFork$"}})
	if got.err != nil || got.code != 0 || !strings.Contains(got.stdout, "survived") {
		t.Fatalf("exit code %d, error %v, output:\n%s%s", got.code, got.err, got.stdout, got.stderr)
	}
	t.Log(strings.SplitN(got.stdout, "\n", 2)[0])
}

// killForks starts a process that does nothing but fork, kills it after a random time, and repeats
// that until the deadline. It returns how many it killed.
func killForks(deadline time.Time) (kills int, err error) {
	if err := addMappings(3000); err != nil {
		return 0, err
	}
	for ; time.Now().Before(deadline); kills++ {
		pid, errno := forkChild()
		if errno != 0 {
			return kills, fmt.Errorf("forking: %w", errno)
		}
		time.Sleep(rand.N(60 * time.Millisecond))
		if err := unix.Kill(pid, unix.SIGKILL); err != nil {
			return kills, fmt.Errorf("killing the child: %w", err)
		}
		if _, err := unix.Wait4(pid, nil, 0, nil); err != nil {
			return kills, fmt.Errorf("waiting for the child: %w", err)
		}
	}
	return kills, nil
}

// addMappings gives this process n more memory areas. The more it has, the longer a fork takes, and
// the more kills hit one in its middle.
func addMappings(n int) error {
	page := os.Getpagesize()
	area, err := unix.Mmap(-1, 0, n*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return fmt.Errorf("mapping %d pages: %w", n, err)
	}
	for i := 0; i < n; i += 2 { // neighbours that may be accessed differently are areas of their own
		area[i*page] = 1
		if err := unix.Mprotect(area[(i+1)*page:(i+2)*page], unix.PROT_READ); err != nil {
			return fmt.Errorf("protecting page %d: %w", i+1, err)
		}
	}
	return nil
}

// forkChild returns the process ID of a child that forks until it is killed. The os package cannot
// do it: it forks with CLONE_VM, which copies no memory areas. The child has one thread and no Go
// scheduler, so all that it does is here, in system calls and without a stack that grows.
//
//go:nosplit
//go:norace
func forkChild() (int, syscall.Errno) {
	pid, _, errno := syscall.RawSyscall(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0)
	if errno != 0 || pid != 0 {
		return int(pid), errno
	}
	for {
		pid, _, _ = syscall.RawSyscall(syscall.SYS_CLONE, uintptr(syscall.SIGCHLD), 0, 0)
		if pid == 0 {
			syscall.RawSyscall(syscall.SYS_EXIT_GROUP, 0, 0, 0)
		}
		syscall.RawSyscall6(syscall.SYS_WAIT4, pid, 0, 0, 0, 0, 0)
	}
}
