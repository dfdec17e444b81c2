package resources

import (
	"os"
	"syscall"
	"testing"
	"time"
)

func TestParseMemory(t *testing.T) {
	now, peak, err := parseMemory([]byte("Name:\ttombolo\nVmPeak:\t 1265532 kB\nVmHWM:\t   54145 kB\nVmRSS:\t   49103 kB\nRssAnon:\t   1 kB\n"))
	if err != nil || now != 49103*1024 || peak != 54145*1024 {
		t.Errorf("got %v, %v, %v, want 49103 and 54145 kB", now, peak, err)
	}
	for _, status := range []string{"", "VmRSS:\t 1 kB\n", "VmRSS:\t x kB\nVmHWM:\t 1 kB\n"} {
		if _, _, err := parseMemory([]byte(status)); err == nil {
			t.Errorf("%q was taken for a status", status)
		}
	}
}

// The kernel tells this process the same in another way, too: getrusage(2), which may be late by a
// tick of each CPU.
func TestCPU(t *testing.T) {
	const enough, slack = 200 * time.Millisecond, 100 * time.Millisecond
	var want time.Duration
	for want < enough {
		var used syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
			t.Fatal(err)
		}
		want = time.Duration(used.Utime.Nano() + used.Stime.Nano())
	}
	got, err := CPU(os.Getpid())
	if err != nil || got < want-slack || got > want+slack {
		t.Errorf("got %s, %v, want about %s", got, err, want)
	}
	if got, err := CPU(1 << 22); err == nil { // no process has that ID (PID_MAX_LIMIT)
		t.Errorf("a process that cannot be has computed for %s", got)
	}
}
