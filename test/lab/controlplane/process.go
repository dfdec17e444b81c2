package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// spawner starts processes that end when this one does, however it ends. The kernel binds that
// promise (PR_SET_PDEATHSIG, prctl(2)) to the thread that forked, so one goroutine keeps a thread
// for it.
type spawner struct {
	requests chan spawnRequest
	done     chan struct{}
}

type spawnRequest struct {
	cmd  *exec.Cmd
	errs chan error
}

// newSpawner starts the goroutine. close ends it, and with its thread whatever still runs.
func newSpawner() *spawner {
	s := &spawner{requests: make(chan spawnRequest), done: make(chan struct{})}
	go s.run()
	return s
}

func (s *spawner) run() {
	runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
	defer close(s.done)
	for r := range s.requests {
		r.errs <- r.cmd.Start()
	}
}

func (s *spawner) close() {
	close(s.requests)
	<-s.done
}

// process is one that was started.
type process struct {
	name   string
	log    string // path
	cmd    *exec.Cmd
	exited chan struct{} // closed once it is reaped
	err    error         // of Wait; to be read after exited is closed
}

// start runs args in dir, both output streams to the file log, which it appends to.
func (s *spawner) start(name, dir, log string, args ...string) (*process, error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("opening log of %s: %w", name, err)
	}
	defer out.Close() // the child has its own descriptor
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, out, out
	// A group of its own, so that an interrupt typed at the terminal reaches the lab alone, which
	// stops in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	r := spawnRequest{cmd: cmd, errs: make(chan error)}
	s.requests <- r
	if err := <-r.errs; err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	p := &process{name: name, log: log, cmd: cmd, exited: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.exited)
	}()
	return p, nil
}

// stop asks the process to end, and makes it after grace.
func (p *process) stop(grace time.Duration) {
	if p == nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // an error means that it has ended
	select {
	case <-p.exited:
	case <-time.After(grace):
		_ = p.cmd.Process.Kill()
		<-p.exited
	}
}

// errExited says that a process ended before it was ready.
var errExited = errors.New("process ended")

// waitReady asks ready, every 50 ms, until it says yes, the process ends (errExited) or ctx does.
func (p *process) waitReady(ctx context.Context, ready func(context.Context) error) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s (log: %s): %w (%w)", p.name, p.log, ctx.Err(), last)
		case <-p.exited:
			return fmt.Errorf("waiting for %s (%w; log: %s): %w", p.name, p.err, p.log, errExited)
		case <-tick.C:
			if last = ready(ctx); last == nil {
				return nil
			}
		}
	}
}

func logFile(dir, name string) string {
	return filepath.Join(dir, "logs", name+".log")
}
