package lab

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// slowFault is what a page fault costs on a machine that is too slow for a lab of several nodes. A
// user-mode kernel takes several faults and switches of the host for each fault and system call of
// its guest. Where one costs half a microsecond, as usual, a lab of four nodes boots in half a
// minute; where one costs 16, as in a virtual machine whose page tables are shadowed, booting takes
// minutes and tests exceed their bounds.
const slowFault = 5 * time.Microsecond

// CheckHost says in a sentence if this machine is too slow for a lab of several nodes, and in what;
// slow is empty if it is not. Such a lab is not refused: it may serve to look at one thing, and fails
// tests that are bounded in time.
func CheckHost() (slow string, err error) {
	fault, err := faultTime()
	if err != nil {
		return "", fmt.Errorf("measuring what a page fault costs: %w", err)
	}
	return judgeHost(fault), nil
}

func judgeHost(fault time.Duration) (slow string) {
	if fault < slowFault {
		return ""
	}
	return fmt.Sprintf("this machine is too slow for a lab of several nodes: a page fault takes %s, more than %s: "+
		"use one whose hypervisor has nested paging, or bare metal", fault.Round(100*time.Nanosecond), slowFault)
}

// faultTime measures how long the first write to a page takes: of three rounds the quickest, which
// other load disturbs least.
func faultTime() (time.Duration, error) {
	const pages = 4096
	size := os.Getpagesize()
	best := time.Hour
	for range 3 {
		area, err := unix.Mmap(-1, 0, pages*size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
		if err != nil {
			return 0, err
		}
		// One fault on a huge page brings 512 pages. A kernel without huge pages refuses the advice.
		_ = unix.Madvise(area, unix.MADV_NOHUGEPAGE)
		start := time.Now()
		for i := range pages {
			area[i*size] = 1
		}
		best = min(best, time.Since(start)/pages)
		if err := unix.Munmap(area); err != nil {
			return 0, err
		}
	}
	return best, nil
}
