package lab

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tombolo-net/tombolo/test/lab/kernel"
	"github.com/tombolo-net/tombolo/test/lab/node"
)

// safeBuilder is a strings.Builder that is safe for concurrent use.
type safeBuilder struct {
	mu   sync.Mutex
	text strings.Builder // guarded by mu
}

func (b *safeBuilder) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *safeBuilder) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// labOf returns a lab of one node, with a shell script in place of its kernel, and what the lab
// says.
func labOf(t *testing.T, script string) (*Lab, *machine, *safeBuilder) {
	t.Helper()
	dir := t.TempDir()
	program := filepath.Join(dir, "kernel")
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, node.LogDir), 0o755); err != nil {
		t.Fatal(err)
	}
	said := &safeBuilder{}
	l := &Lab{progress: newProgress(said)}
	l.ctx, l.cancel = context.WithCancel(t.Context())
	l.broken, l.fail = context.WithCancelCause(l.ctx)
	t.Cleanup(l.cancel)
	m := &machine{node: Node{Name: "east-1"}, dir: dir, kernel: kernel.Config{Kernel: program, Init: program, Dir: dir}, failed: l.nodeFailed}
	t.Cleanup(m.kill)
	return l, m, said
}

// TestKernelEndsByItself checks that the lab says so at once, and that what is watched ends.
func TestKernelEndsByItself(t *testing.T) {
	tests := []struct{ name, script, want string }{
		{"panic", "echo Kernel panic - not syncing >&2; kill -ABRT $$", "Kernel panic - not syncing"},
		{"power off", "exit 0", "node east-1 powered off"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, m, said := labOf(t, tt.script)
			watched, stop := l.Watch(t.Context())
			defer stop()
			if err := m.start(l.ctx); err != nil {
				t.Fatal(err)
			}
			<-watched.Done()
			for what, got := range map[string]error{"Broken": l.Broken(), "cause of what is watched": context.Cause(watched)} {
				if got == nil || !strings.Contains(got.Error(), tt.want) || !strings.Contains(got.Error(), "east-1") {
					t.Errorf("%s is %v, want east-1 and %q in it", what, got, tt.want)
				}
			}
			if !strings.Contains(said.String(), tt.want) {
				t.Errorf("the lab said %q, want %q in it", said, tt.want)
			}
		})
	}
}

// TestKernelKilled checks that a node that was killed breaks nothing, and neither does the end of
// the lab.
func TestKernelKilled(t *testing.T) {
	l, m, said := labOf(t, "exec sleep 600")
	watched, stop := l.Watch(t.Context())
	defer stop()
	if err := m.start(l.ctx); err != nil {
		t.Fatal(err)
	}
	m.kill()
	select {
	case <-watched.Done():
		t.Errorf("what is watched ended: %v", context.Cause(watched))
	case <-time.After(100 * time.Millisecond):
	}
	l.cancel()
	if err := l.Broken(); err != nil || said.String() != "" {
		t.Errorf("the lab is broken (%v) and said %q", err, said)
	}
	if !errors.Is(l.ctx.Err(), context.Canceled) {
		t.Error("the lab runs")
	}
}
