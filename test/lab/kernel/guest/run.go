package guest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/tombolo-net/tombolo/test/lab/kernel"
)

// limits are what a node of many GB has. A kernel of 512 MB tracks 4,096 flows, those of all its
// network namespaces together. It drops packets that begin more.
var limits = map[string]string{"net.netfilter.nf_conntrack_max": "262144"}

// Run is PID 1 of a kernel that exists for one command: it runs the
// kernel.Command in the JSON file at path, leaves a kernel.Result beside it, and
// powers off.
func Run(path string) {
	result, err := run(path)
	if err != nil {
		result.Error = err.Error()
	}
	text, _ := json.Marshal(result) // an int and a string
	if err := os.WriteFile(filepath.Join(filepath.Dir(path), kernel.ResultFile), text, 0o600); err != nil {
		fmt.Fprintln(os.Stderr, "lab: writing the result:", err)
	}
	PowerOff()
}

func run(path string) (kernel.Result, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return kernel.Result{}, fmt.Errorf("reading the command: %w", err)
	}
	var c kernel.Command
	if err := json.Unmarshal(text, &c); err != nil {
		return kernel.Result{}, fmt.Errorf("reading the command: %w", err)
	}
	if err := EnterRoot(append(c.Writable, filepath.Dir(path))...); err != nil {
		return kernel.Result{}, err
	}
	if err := errors.Join(showHidden(c), Prepare("lab"), Sysctl(limits), WriteBuiltinModules()); err != nil {
		return kernel.Result{}, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go Reap(ctx)
	return execute(c)
}

// showHidden shows the host's folders that c needs and that the kernel's own file
// systems cover: go test may build in /dev/shm. They are read-only.
func showHidden(c kernel.Command) error {
	dirs := []string{c.Dir}
	if filepath.IsAbs(c.Args[0]) {
		dirs = append(dirs, filepath.Dir(c.Args[0]))
	}
	for _, dir := range dirs {
		if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err := mountHost(dir, dir); err != nil {
			return err
		}
	}
	return nil
}

// execute runs c on the terminals that the kernel command line has tied to the
// host's streams, and returns how it ended.
func execute(c kernel.Command) (kernel.Result, error) {
	in, err := openTerminal("/dev/tty1")
	if err != nil {
		return kernel.Result{}, err
	}
	out, err := openTerminal("/dev/tty2")
	if err != nil {
		return kernel.Result{}, err
	}
	errs, err := openTerminal("/dev/tty3")
	if err != nil {
		return kernel.Result{}, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		return kernel.Result{}, fmt.Errorf("making the standard input: %w", err)
	}
	go func() {
		defer w.Close()
		_ = kernel.ReadFrames(w, in) // a command that has closed its input reads no more
	}()
	cmd := command(c)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = r, out, errs
	err = cmd.Run()
	drain(out, errs)
	return resultOf(cmd, err)
}

// command finds the program in the PATH of c, not of PID 1.
func command(c kernel.Command) *exec.Cmd {
	for _, kv := range c.Env {
		if path, ok := strings.CutPrefix(kv, "PATH="); ok {
			os.Setenv("PATH", path)
		}
	}
	cmd := &exec.Cmd{Path: c.Args[0], Args: c.Args, Env: c.Env, Dir: c.Dir}
	if !strings.Contains(c.Args[0], "/") {
		cmd.Path, cmd.Err = exec.LookPath(c.Args[0])
	}
	return cmd
}

func resultOf(cmd *exec.Cmd, err error) (kernel.Result, error) {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return kernel.Result{}, nil
	case !errors.As(err, &exit):
		return kernel.Result{}, fmt.Errorf("running %s: %w", cmd.Args[0], err)
	}
	status := exit.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return kernel.Result{Code: 128 + int(status.Signal())}, nil
	}
	return kernel.Result{Code: status.ExitStatus()}, nil
}

// openTerminal opens a terminal that passes every byte as it is.
func openTerminal(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, fmt.Errorf("opening the terminal: %w", err)
	}
	raw := unix.Termios{Cflag: unix.CS8 | unix.CREAD | unix.CLOCAL}
	raw.Cc[unix.VMIN] = 1
	if err := unix.IoctlSetTermios(int(f.Fd()), unix.TCSETS, &raw); err != nil {
		return nil, fmt.Errorf("setting %s raw: %w", path, err)
	}
	return f, nil
}

// drain waits until the host has everything that was written to the terminals.
func drain(files ...*os.File) {
	for _, f := range files {
		_ = unix.IoctlSetInt(int(f.Fd()), unix.TCSBRK, 1) // tcdrain(3)
	}
}
