package testbin

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// stopGrace is how long a cancelled command may take to end by itself.
const stopGrace = 5 * time.Second

// tailLines is how much of a failed command's output its error repeats.
const tailLines = 20

// command runs programs in one folder with one environment.
type command struct {
	dir string
	env []string // whole
	log io.Writer
}

// run runs a program to its end, with its output in the log. The error holds
// the last lines of the output. When ctx ends, the program and its children do.
func (c command) run(ctx context.Context, name string, args ...string) error {
	var out bytes.Buffer
	line := name + " " + strings.Join(args, " ")
	fmt.Fprintf(c.log, "+ %s\n", line)
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = c.dir, c.env
	w := io.MultiWriter(c.log, &out)
	cmd.Stdout, cmd.Stderr = w, w // one writer for both: exec then never writes concurrently
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return endGroup(cmd.Process.Pid) }
	cmd.WaitDelay = stopGrace
	err := cmd.Run()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("running %s: %w\n%s", line, err, lastLines(out.String(), tailLines))
	}
	return nil
}

// endGroup tells a process and its children to end. It does so twice: a shell blocks signals while it
// starts a program, which then does not have the signal that waits for the shell.
func endGroup(pid int) error {
	err := syscall.Kill(-pid, syscall.SIGTERM)
	time.Sleep(100 * time.Millisecond)
	_ = syscall.Kill(-pid, syscall.SIGTERM) // all may be gone
	return err
}

// lastLines returns the last n lines of s, without empty ones at its end.
func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return strings.Join(lines, "\n")
}
