package kernel

import (
	"errors"
	"fmt"
	"io"
	"net"
	"slices"

	"golang.org/x/sys/unix"
)

// pin has this thread, and what it starts, use the one CPU that the fewest kernels pinned by that
// name have; undo gives the thread its CPUs back and, after what was started has ended, release
// leaves the CPU.
//
// A user-mode kernel and its processes are processes of the host that wait for each other at every
// system call; no two of them ever run. Where they sit on two CPUs, each call wakes the other one
// from its sleep: that took five times as long on an idle virtual machine, and a lab of four nodes
// on two CPUs took half as long again for the same tests.
func pin(name string) (undo, release func(), err error) {
	nothing := func() {}
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return nothing, nothing, fmt.Errorf("asking for the CPUs of this process: %w", err)
	}
	cpu, seat, err := claimCPU(name, cpus(all))
	if err != nil {
		return nothing, nothing, err
	}
	var one unix.CPUSet
	one.Set(cpu)
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		seat.Close()
		return nothing, nothing, fmt.Errorf("taking CPU %d: %w", cpu, err)
	}
	return func() { _ = unix.SchedSetaffinity(0, &all) }, func() { seat.Close() }, nil
}

// claimCPU takes the first seat that is free: one on each CPU, then a second one on each, and so
// on. It goes to and fro, so that the first nodes of clusters, their gateways, do not all meet on
// the first CPU. A seat is an abstract socket: it is known on the whole machine, leaves no file,
// and goes with its process.
func claimCPU(name string, cpus []int) (cpu int, seat io.Closer, err error) {
	for number := 0; ; number++ {
		for _, cpu := range cpus {
			seat, err := net.Listen("unix", fmt.Sprintf("@%s-%d-%d", name, cpu, number))
			if !errors.Is(err, unix.EADDRINUSE) {
				return cpu, seat, err
			}
		}
		slices.Reverse(cpus)
	}
}

// cpus lists a set.
func cpus(set unix.CPUSet) []int {
	var list []int
	for cpu := range len(set) * 64 {
		if set.IsSet(cpu) {
			list = append(list, cpu)
		}
	}
	return list
}
