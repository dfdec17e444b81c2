// Package guest runs a measurement in a kernel of its own or in network namespaces of the host's
// kernel.
package guest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"github.com/vishvananda/netns"

	"github.com/tombolo-net/tombolo/test/bench/figures"
	"github.com/tombolo-net/tombolo/test/harness/shell"
)

// Measure runs the lab's command with these arguments. It adds the figures that the command prints,
// each as a line of JSON, also those before an error.
func Measure(ctx context.Context, lab string, args []string, all *figures.List) error {
	return measure(exec.CommandContext(ctx, lab, args...), all)
}

// endGrace is how long a measurement may take to end what it started.
const endGrace = 20 * time.Second

// MeasureNatively is Measure in the host's kernel: the program runs in a network namespace and a
// mount namespace of its own. This needs root.
func MeasureNatively(ctx context.Context, program string, args []string, all *figures.List) error {
	cmd := exec.CommandContext(ctx, program, args...)
	// To unshare, unlike to clone, makes the mounts private: the host sees none of them.
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS}
	cmd.Cancel, cmd.WaitDelay = func() error { return cmd.Process.Signal(syscall.SIGTERM) }, endGrace
	return measure(cmd, all)
}

func measure(cmd *exec.Cmd, all *figures.List) error {
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", cmd.Path, err)
	}
	err = collect(out, all)
	return errors.Join(err, cmd.Wait())
}

// collect reads figures to the end; the error is about the first line that is not a figure.
func collect(r io.Reader, all *figures.List) error {
	var first error
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		var f figures.Figure
		if err := json.Unmarshal(lines.Bytes(), &f); err != nil {
			if first == nil {
				first = fmt.Errorf("parsing %q: %w", lines.Text(), err)
			}
			continue
		}
		*all = append(*all, f)
	}
	return errors.Join(first, lines.Err())
}

// Progress writes a line for the person who waits.
func Progress(format string, args ...any) { fmt.Fprintf(os.Stderr, "  "+format+"\n", args...) }

// Inside runs f on a thread in the namespace; f must not start goroutines that open sockets.
func Inside(namespace string, f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // the thread ends with f
		handle, err := netns.GetFromName(namespace)
		if err == nil {
			defer handle.Close()
			err = netns.Set(handle)
		}
		if err != nil {
			done <- fmt.Errorf("entering namespace %s: %w", namespace, err)
			return
		}
		done <- f()
	}()
	return <-done
}

// RunInside runs a program in a namespace and returns what it printed.
func RunInside(ctx context.Context, namespace string, argv ...string) (string, error) {
	return shell.Run(ctx, "", "ip", append([]string{"netns", "exec", namespace}, argv...)...)
}

// Eventually returns when check does not fail any more, or with its last error after the timeout.
func Eventually(ctx context.Context, timeout, interval time.Duration, check func() error) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for {
		err := check()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		case <-time.After(interval):
		}
	}
}
