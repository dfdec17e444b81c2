package kernel

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// pin has this thread, and what it starts, use one CPU that no other kernel of Config.Pin has, if there is one; undo gives
// the thread its CPUs back and, after what was started has ended, release the CPU to others.
//
// A user-mode kernel and its processes are processes of the host that wait for each other at every system call. Where they
// sit on two CPUs, each call wakes the other one from its sleep: that took five times as long on an idle virtual machine.
func pin(dir string) (undo, release func(), err error) {
	nothing := func() {}
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return nothing, nothing, fmt.Errorf("asking for the CPUs of this process: %w", err)
	}
	for cpu := range len(all) * 64 {
		if !all.IsSet(cpu) {
			continue
		}
		lock, err := claim(filepath.Join(dir, fmt.Sprintf("tombolo-kernel-cpu-%d", cpu)))
		if errors.Is(err, unix.EWOULDBLOCK) {
			continue
		}
		if err != nil {
			return nothing, nothing, err
		}
		var one unix.CPUSet
		one.Set(cpu)
		if err := unix.SchedSetaffinity(0, &one); err != nil {
			lock.Close()
			return nothing, nothing, fmt.Errorf("taking CPU %d: %w", cpu, err)
		}
		return func() { _ = unix.SchedSetaffinity(0, &all) }, func() { lock.Close() }, nil
	}
	return nothing, nothing, nil
}

// claim locks a file until it is closed; the error is EWOULDBLOCK if somebody else has.
func claim(path string) (*os.File, error) {
	lock, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		return nil, os.NewSyscallError("flock", err)
	}
	return lock, nil
}
