// Package kernel boots user-mode Linux kernels: each is a plain process tree on
// the host whose root file system is the host's own files (hostfs). It owns the
// processes, the kernel's command line and its console, and can run a single
// command inside a fresh kernel (Run).
//
// What PID 1 does inside is not its concern: package guest (commands) and
// package node (a Kubernetes node) have that. Neither does it build the kernel.
package kernel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// DefaultMemory is the memory of a kernel whose Config says nothing.
const DefaultMemory = "512M"

// NIC is one network device of the kernel, vecN inside, N counting from 0. It
// speaks the frames of UML's "bess" transport: one Ethernet frame per packet
// on a connected Unix socket of type SOCK_SEQPACKET.
type NIC struct {
	Socket string           // required; absolute path of the listening socket
	MAC    net.HardwareAddr // required; unique on the switch
	MTU    int              // optional, bytes; default the driver's 1500
}

// Config says how a kernel boots.
type Config struct {
	Kernel string // required; path of the user-mode kernel
	Init   string // required; absolute path on the host of a static binary that becomes PID 1
	Dir    string // required; the kernel's state folder, exists, writable; sockets and pid files go here

	Env     []string  // optional; KEY=VALUE for PID 1, by the kernel's command line: short, no blanks, no dot in KEY
	Args    []string  // optional; more arguments of the kernel, such as ipv6.disable=1
	Memory  string    // optional, default DefaultMemory; as the kernel's mem= takes it
	NICs    []NIC     // optional
	Pin     bool      // optional; have it run on one CPU of the host, that with the fewest other kernels of this field
	Console io.Writer // optional; the kernel's console output
	Stdin   io.Reader // optional; what the guest reads from /dev/tty1, in frames (see Frames)
	Stdout  io.Writer // optional; what the guest writes to /dev/tty2
	Stderr  io.Writer // optional; what the guest writes to /dev/tty3
}

// Machine is a kernel that was started. Its methods are safe for concurrent use.
type Machine struct {
	cmd     *exec.Cmd
	pin     bool
	console *tail
	closers []io.Closer // our ends of the pipes that must go when the kernel is gone
	copies  sync.WaitGroup
	done    chan struct{}
	err     error // written before done is closed
}

// Start boots a kernel and returns as soon as its process runs. When ctx ends
// the kernel and all that runs in it are killed.
func Start(ctx context.Context, cfg Config) (*Machine, error) {
	m := &Machine{console: &tail{next: cfg.Console}, done: make(chan struct{}), pin: cfg.Pin}
	if err := m.prepare(cfg); err != nil {
		return nil, err
	}
	started := make(chan error)
	go m.run(started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", cfg.Kernel, err)
	}
	stop := context.AfterFunc(ctx, m.Kill)
	go func() {
		<-m.done
		stop()
	}()
	return m, nil
}

// prepare builds the command and its streams.
func (m *Machine) prepare(cfg Config) error {
	if err := abs(cfg.Kernel, cfg.Init, cfg.Dir); err != nil {
		return fmt.Errorf("preparing a kernel: %w", err)
	}
	cmd := exec.Command(cfg.Kernel, cmdline(cfg)...)
	cmd.Dir = "/"
	cmd.Env = []string{"HOME=" + cfg.Dir, "TMPDIR=" + memoryDir(cfg.Dir)}
	xstate, err := xstateLibrary()
	if err != nil {
		return err
	}
	if xstate != "" {
		cmd.Env = append(cmd.Env, "LD_PRELOAD="+xstate)
	}
	cmd.Stdout, cmd.Stderr = m.console, m.console
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	m.cmd = cmd
	return m.connect(cfg)
}

// run starts the process, waits for it, and clears its group. One thread does
// it all: the kernel is to die with the process that started it (Pdeathsig),
// and Linux takes the death of the starting thread for that.
func (m *Machine) run(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	undo, release := func() {}, func() {}
	if m.pin {
		undo, release, _ = pin("tombolo-kernel-cpu") // an error: it is only slower
	}
	err := m.cmd.Start()
	undo()
	defer release()
	for _, f := range m.cmd.ExtraFiles {
		f.Close()
	}
	if err != nil {
		m.close()
		started <- err
		return
	}
	// A panicking kernel aborts: nobody wants its memory as a core file. One that
	// has ended already leaves none.
	_ = unix.Prlimit(m.cmd.Process.Pid, unix.RLIMIT_CORE, &unix.Rlimit{}, nil)
	started <- nil
	m.err = m.cmd.Wait()
	m.signal(syscall.SIGKILL)
	m.copies.Wait()
	m.close()
	close(m.done)
}

func (m *Machine) close() {
	for _, c := range m.closers {
		c.Close()
	}
}

// Wait returns when the kernel and all of its processes are gone: nil after a
// power-off, a *PanicError with the console's last lines otherwise.
func (m *Machine) Wait() error {
	<-m.done
	if m.err == nil || m.console.poweredDown() {
		return nil
	}
	return &PanicError{Console: m.console.String(), Err: m.err}
}

// Done is closed when the kernel and all of its processes are gone.
func (m *Machine) Done() <-chan struct{} { return m.done }

// Kill ends the kernel at once, as if its plug had been pulled. Wait for it.
func (m *Machine) Kill() { m.signal(syscall.SIGKILL) }

// Pause freezes the kernel, and with it all that runs in it. Its clock goes on:
// after Resume it has jumped, as that of a machine whose hypervisor was busy.
func (m *Machine) Pause() { m.signalKernel(syscall.SIGSTOP) }

// Resume lets a paused kernel go on.
func (m *Machine) Resume() { m.signalKernel(syscall.SIGCONT) }

// Pid returns the kernel's process ID, which is also its process group's.
func (m *Machine) Pid() int { return m.cmd.Process.Pid }

// signal reaches every process of the kernel: they share a group of their own.
func (m *Machine) signal(s syscall.Signal) {
	_ = syscall.Kill(-m.cmd.Process.Pid, s) // the group may be gone already
}

// signalKernel reaches the kernel's own process only: its guests' processes are
// traced by it, do nothing without it, and would hand a stop signal to it.
func (m *Machine) signalKernel(s syscall.Signal) {
	_ = syscall.Kill(m.cmd.Process.Pid, s) // it may be gone already
}

// PanicError says that a kernel ended by anything but a power-off.
type PanicError struct {
	Console string // the console's last lines
	Err     error  // of the process: killed, aborted, exit code
}

func (e *PanicError) Error() string {
	return fmt.Sprintf("the kernel ended (%v); its console's last lines:\n%s", e.Err, e.Console)
}

func (e *PanicError) Unwrap() error { return e.Err }

// memoryDir returns where the kernel's memory file goes: shared memory where
// it can be executed from, else dir.
func memoryDir(dir string) string {
	const shm = "/dev/shm"
	var fs unix.Statfs_t
	if unix.Statfs(shm, &fs) != nil || fs.Flags&unix.ST_NOEXEC != 0 || unix.Access(shm, unix.W_OK) != nil {
		return dir
	}
	return shm
}

var errNotAbsolute = errors.New("not an absolute path")

// abs fails for paths that the guest could not find.
func abs(paths ...string) error {
	for _, p := range paths {
		if !filepath.IsAbs(p) {
			return fmt.Errorf("path %q: %w", p, errNotAbsolute)
		}
		if _, err := os.Stat(p); err != nil {
			return err
		}
	}
	return nil
}
