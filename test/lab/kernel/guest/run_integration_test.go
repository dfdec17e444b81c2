//go:build integration

package guest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tombolo-net/tombolo/hack/testbin"
	"github.com/tombolo-net/tombolo/test/lab/kernel"
)

// TestMain makes the test's own binary the PID 1 of the kernels that it boots.
func TestMain(m *testing.M) {
	if path := os.Getenv(kernel.CommandEnv); os.Getpid() == 1 && path != "" {
		Run(path)
	}
	os.Exit(m.Run())
}

// config returns how the tests' kernels boot.
func config(t *testing.T) kernel.Config {
	t.Helper()
	bin, err := testbin.Dir()
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return kernel.Config{Kernel: filepath.Join(bin, "linux-uml"), Init: self}
}

// outcome is how a command ended.
type outcome struct {
	code           int
	err            error
	stdout, stderr string
}

// String prints the error's text, too.
func (o outcome) String() string {
	return fmt.Sprintf("code %d, error %v, stdout %q, stderr %q", o.code, o.err, o.stdout, o.stderr)
}

func runCommand(ctx context.Context, t *testing.T, c kernel.Command) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	var stdout, stderr bytes.Buffer
	c.Env, c.Stdout, c.Stderr = os.Environ(), &stdout, &stderr
	if c.Dir == "" {
		c.Dir = "/"
	}
	code, err := kernel.Run(ctx, config(t), c)
	return outcome{code, err, stdout.String(), stderr.String()}
}

func shell(script string) kernel.Command { return kernel.Command{Args: []string{"sh", "-c", script}} }

func TestRunStreamsAndExitCode(t *testing.T) {
	for _, tt := range []struct {
		name string

		script, stdin string
		want          outcome
	}{
		{name: "success", script: "true"},
		{name: "exit code", script: "exit 7", want: outcome{code: 7}},
		{name: "signal", script: "kill -9 $$", want: outcome{code: 137}},
		{name: "streams apart", script: "printf 'a\\n'; printf 'b\\r\\n' >&2", want: outcome{stdout: "a\n", stderr: "b\r\n"}},
		{name: "input", script: "cat", stdin: "x\x04\x03\ny", want: outcome{stdout: "x\x04\x03\ny"}},
		{name: "root", script: "id -u", want: outcome{stdout: "0\n"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := shell(tt.script)
			c.Stdin = strings.NewReader(tt.stdin)
			if got := runCommand(t.Context(), t, c); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestRunPassesEveryByte(t *testing.T) {
	in := bytes.Repeat([]byte("0123456789abcdef\x00\xff\r\n\x1b"), 100_000)
	c := kernel.Command{Args: []string{"cat"}, Stdin: bytes.NewReader(in)}
	got := runCommand(t.Context(), t, c)
	if got.err != nil || got.stdout != string(in) {
		t.Errorf("got %d of %d bytes, error %v", len(got.stdout), len(in), got.err)
	}
}

func TestRunLeavesTheHostAlone(t *testing.T) {
	dir, writable := t.TempDir(), t.TempDir()
	c := shell("echo in > inside; echo out > " + writable + "/outside")
	c.Dir, c.Writable = dir, []string{writable}
	if got := runCommand(t.Context(), t, c); got != (outcome{}) {
		t.Fatalf("got %v", got)
	}
	if _, err := os.Stat(filepath.Join(dir, "inside")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that was written to the overlay is on the host (%v)", err)
	}
	if _, err := os.Stat(filepath.Join(writable, "outside")); err != nil {
		t.Errorf("a file that was written to a writable folder is not on the host: %v", err)
	}
}

// TestRunFindsWhatTheKernelCovers runs a program from a folder that has a file
// system of the kernel's own over it.
func TestRunFindsWhatTheKernelCovers(t *testing.T) {
	dir, err := os.MkdirTemp("/dev/shm", "guest-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	script := filepath.Join(dir, "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\npwd\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	got := runCommand(t.Context(), t, kernel.Command{Args: []string{script}, Dir: dir})
	if want := (outcome{stdout: dir + "\n"}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestRunErrors(t *testing.T) {
	t.Run("no such program", func(t *testing.T) {
		got := runCommand(t.Context(), t, kernel.Command{Args: []string{"no-such-program"}})
		if got.err == nil || !strings.Contains(got.err.Error(), "no-such-program") {
			t.Errorf("got %v, want an error that names the program", got)
		}
	})
	t.Run("panic", func(t *testing.T) {
		got := runCommand(t.Context(), t, shell("kill -SEGV 1; sleep 60"))
		var panicked *kernel.PanicError
		if !errors.As(got.err, &panicked) || !strings.Contains(panicked.Console, "Kernel panic") {
			t.Errorf("got %+v, want a PanicError with the console", got)
		}
	})
	t.Run("end of the context", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if got := runCommand(ctx, t, shell("sleep 60")); !errors.Is(got.err, context.DeadlineExceeded) {
			t.Errorf("got %+v, want %v", got, context.DeadlineExceeded)
		}
	})
}

func TestGuestIsAMachine(t *testing.T) {
	for _, tt := range []struct {
		name   string
		script string
	}{
		{"modprobe knows what is built in", "modprobe -va ip_vs wireguard"},
		{"modprobe knows what is not", "! modprobe no-such-module"},
		{"lo is up", "ip link show up dev lo | grep -q lo"},
		{"cgroup2", "test -e /sys/fs/cgroup/cgroup.controllers"},
		{"network namespaces", "ip netns add a && ip netns exec a ip link"},
		{"orphans are reaped", "orphan=$(sleep 0.1 >&- & echo $!); while test -e /proc/$orphan; do sleep 0.1; done"},
		{"a kernel of its own", "ip link add w type wireguard && ip link add v type vxlan id 7 dstport 4789"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := runCommand(t.Context(), t, shell(tt.script)); got.code != 0 || got.err != nil {
				t.Errorf("got %+v", got)
			}
		})
	}
}

// TestPause freezes a kernel that counts: nothing is counted meanwhile, and it
// goes on afterwards.
func TestPause(t *testing.T) {
	dir := t.TempDir()
	c := `{"args":["sh","-c","while :; do echo; sleep 0.05; done"],"env":["PATH=` + os.Getenv("PATH") + `"],"dir":"/"}`
	path := filepath.Join(dir, "command.json")
	if err := os.WriteFile(path, []byte(c), 0o600); err != nil {
		t.Fatal(err)
	}
	lines := make(lineCounter, 1000)
	cfg := config(t)
	cfg.Dir, cfg.Stdout, cfg.Env = dir, lines, []string{kernel.CommandEnv + "=" + path}
	cfg.Stdin, cfg.Stderr = strings.NewReader(""), os.Stderr
	m, err := kernel.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		m.Kill()
		if err := m.Wait(); err == nil {
			t.Error("Wait of a killed kernel: no error")
		}
	}()
	wait := func(d time.Duration) bool {
		select {
		case <-lines:
			return true
		case <-time.After(d):
			return false
		}
	}
	if !wait(30 * time.Second) {
		t.Fatal("the kernel prints nothing")
	}
	m.Pause()
	for wait(time.Second) { // what was under way
	}
	m.Resume()
	if !wait(30 * time.Second) {
		t.Error("the kernel does not go on after Resume")
	}
}

// lineCounter receives a value for each write.
type lineCounter chan struct{}

func (l lineCounter) Write(p []byte) (int, error) {
	l <- struct{}{}
	return len(p), nil
}
