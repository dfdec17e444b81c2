package alarm

import (
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Alarm ends a wait at a time, or when it rings.
type Alarm struct {
	file *os.File
	raw  syscall.RawConn
	// rung is true if Ring was called after the last Wait returned.
	rung atomic.Bool
}

// New returns an Alarm that Close ends.
func New() (*Alarm, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("making a timer: %w", os.NewSyscallError("timerfd_create", err))
	}
	file := os.NewFile(uintptr(fd), "timerfd")
	raw, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("making a timer: %w", err)
	}
	return &Alarm{file: file, raw: raw}, nil
}

// Wait returns when that much time has passed, or Ring was called since the last Wait returned, or
// after Close. It may return early without a cause. One goroutine at a time may wait.
func (a *Alarm) Wait(d time.Duration) {
	a.set(d)
	if a.rung.Swap(false) {
		return // the timer that Ring set may be the one that was replaced
	}
	// An error says that the Alarm is closed. The call does not block, so Go's scheduler need not know.
	_ = a.raw.Read(func(fd uintptr) bool {
		var count uint64
		_, _, errno := unix.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(&count)), unsafe.Sizeof(count))
		return errno != unix.EAGAIN
	})
	a.rung.Store(false)
}

// Ring ends the Wait of now, or else the next one. It does not block. It is safe for concurrent use.
func (a *Alarm) Ring() {
	a.rung.Store(true)
	a.set(0)
}

// Close ends every Wait from now on.
func (a *Alarm) Close() { a.file.Close() }

// set sets the timer. It cannot fail while the Alarm is open, and nobody waits for a closed one.
func (a *Alarm) set(d time.Duration) {
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(max(d.Nanoseconds(), 1))} // zero would stop it
	_ = a.raw.Control(func(fd uintptr) { _ = unix.TimerfdSettime(int(fd), 0, &spec, nil) })
}
