// Package resources reports what a process on this machine uses, by the kernel's own account.
// Processes of other machines, such as those in a lab's nodes, are not its business.
package resources

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// CPU is how long a process has computed, all of its threads together, by the scheduler's own
// count: ticks are too coarse for what wakes up once in a second (clock_getcpuclockid(3)).
func CPU(pid int) (time.Duration, error) {
	const schedClock = 2
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|schedClock), &t); err != nil {
		return 0, fmt.Errorf("reading the clock of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}

// Memory is how much of a process is in memory now, and was at most, in bytes (proc(5), status).
func Memory(pid int) (now, peak float64, err error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, err
	}
	return parseMemory(status)
}

func parseMemory(status []byte) (now, peak float64, err error) {
	found := map[string]float64{}
	for line := range strings.Lines(string(status)) {
		key, value, _ := strings.Cut(line, ":")
		if key != "VmRSS" && key != "VmHWM" {
			continue
		}
		kilobytes, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 64)
		if err != nil {
			return 0, 0, fmt.Errorf("parsing %q: %w", line, err)
		}
		found[key] = kilobytes * 1024
	}
	if len(found) != 2 {
		return 0, 0, fmt.Errorf("no VmRSS and VmHWM in %q", status)
	}
	return found["VmRSS"], found["VmHWM"], nil
}
