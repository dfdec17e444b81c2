package testbin

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestConcurrentRuns starts a second run while the first builds: it must say
// that it waits, and then find all there.
func TestConcurrentRuns(t *testing.T) {
	cache := t.TempDir()
	var count atomic.Int32
	building, waits := make(chan struct{}), make(chan struct{})
	recipes := []recipe{
		fakeRecipe("a", fakeBuild{count: &count, during: func(context.Context) { close(building); <-waits }}),
		fakeRecipe("b", fakeBuild{count: &count}),
	}
	var first error
	var wg sync.WaitGroup
	wg.Go(func() { first = newRun(newStore(cache, recipes), Config{}).ensure(t.Context()) })
	<-building
	out := &signalWriter{text: "another run: waiting for process ", seen: waits}
	s := newStore(cache, recipes)
	second := newRun(s, Config{Out: out}).ensure(t.Context())
	wg.Wait()
	if err := errors.Join(first, second); err != nil {
		t.Fatal(err)
	}
	if n := count.Load(); n != 2 {
		t.Errorf("built %d programs, want 2", n)
	}
	if !strings.Contains(out.String(), "2 of 2 programs ready") {
		t.Errorf("the second run said %q", out.String())
	}
	wantUnverified(t, s)
}

// TestLanesRunAtTheSameTime has a build of each lane wait for one of the other.
func TestLanesRunAtTheSameTime(t *testing.T) {
	up := make(chan struct{})
	meet := func(ctx context.Context) {
		select {
		case up <- struct{}{}:
		case <-up:
		case <-ctx.Done():
		}
	}
	a, b := fakeRecipe("a", fakeBuild{during: meet}), fakeRecipe("b", fakeBuild{during: meet})
	a.lane, b.lane = "go", "kernel"
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s := newStore(t.TempDir(), []recipe{a, b})
	must(t, newRun(s, Config{}).ensure(ctx))
	wantUnverified(t, s)
}

func TestWaitingRunCanBeInterrupted(t *testing.T) {
	s := newStore(t.TempDir(), []recipe{fakeRecipe("a", fakeBuild{})})
	release, err := s.lock(t.Context(), func(string) { t.Error("waited although the lock was free") })
	must(t, err)
	defer release()
	ctx, cancel := context.WithCancel(t.Context())
	_, err = s.lock(ctx, func(string) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}

func TestInterruptedBuildLeavesNoEntry(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	a := fakeRecipe("a", fakeBuild{})
	b := fakeRecipe("b", fakeBuild{during: func(context.Context) { cancel() }})
	c := fakeRecipe("c", fakeBuild{})
	s := newStore(t.TempDir(), []recipe{a, b, c})
	err := newRun(s, Config{}).ensure(ctx)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	wantUnverified(t, s, "b", "c")
	wantNoTmp(t, s)
	if _, err := s.verify(b); !errors.Is(err, errNoEntry) {
		t.Errorf("the entry of b: %v, want none", err)
	}
}

func TestFailedBuildDoesNotStopTheOthers(t *testing.T) {
	a := fakeRecipe("a", fakeBuild{err: errors.New("no compiler")})
	b := fakeRecipe("b", fakeBuild{})
	s := newStore(t.TempDir(), []recipe{a, b})
	err := newRun(s, Config{}).ensure(t.Context())
	checkErr(t, err, "building a v1: no compiler")
	checkErr(t, err, filepath.Join("logs", "a.log"))
	wantUnverified(t, s, "a")
	wantNoTmp(t, s)
}

// TestLeftOversOfAKilledRunAreRemoved starts with what a run that was killed
// in the middle of writing leaves.
func TestLeftOversOfAKilledRunAreRemoved(t *testing.T) {
	a := fakeRecipe("a", fakeBuild{})
	s := newStore(t.TempDir(), []recipe{a})
	must(t, os.MkdirAll(filepath.Join(s.tmpDir(), "build-a-1"), 0o755))
	must(t, os.WriteFile(filepath.Join(s.tmpDir(), "build-a-1", "a"), []byte("cont"), 0o755))
	must(t, os.MkdirAll(s.entryDir(a), 0o755))
	must(t, os.WriteFile(filepath.Join(s.entryDir(a), "a"), []byte("cont"), 0o755)) // no record
	must(t, newRun(s, Config{}).ensure(t.Context()))
	wantContent(t, filepath.Join(s.setDir, "a"), "content of a")
	wantNoTmp(t, s)
}

func TestNewerVersionThanPinnedIsKeptAndSaid(t *testing.T) {
	var count atomic.Int32
	a := fakeRecipe("a", fakeBuild{version: "v1.1", count: &count})
	s := newStore(t.TempDir(), []recipe{a})
	var out strings.Builder
	must(t, newRun(s, Config{Out: &out}).ensure(t.Context()))
	must(t, newRun(s, Config{}).ensure(t.Context()))
	if want := "a: the pinned v1 is not to be had, built v1.1 instead"; !strings.Contains(out.String(), want) {
		t.Errorf("said %q, want %q in it", out.String(), want)
	}
	rec, err := s.verify(a)
	must(t, err)
	if rec.Version != "v1.1" || count.Load() != 1 {
		t.Errorf("version %s built %d times, want v1.1 once", rec.Version, count.Load())
	}
}

func TestChoose(t *testing.T) {
	recipes := []recipe{{name: "a"}, {name: "b"}, {name: "c"}}
	tests := []struct {
		name    string
		names   []string
		want    string
		wantErr string
	}{
		{name: "none means all", want: "abc"},
		{name: "order is the recipes'", names: []string{"c", "a"}, want: "ac"},
		{name: "twice", names: []string{"b", "b"}, want: "b"},
		{name: "unknown", names: []string{"a", "d"}, wantErr: `no program is called "d"; there are a, b, c`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			chosen, err := choose(recipes, tt.names)
			checkErr(t, err, tt.wantErr)
			var got string
			for _, r := range chosen {
				got += r.name
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("choose (-want +got):\n%s", diff)
			}
		})
	}
}

// signalWriter closes seen when text has been written.
type signalWriter struct {
	text string
	seen chan struct{}

	mu  sync.Mutex // guards buf, hit
	buf bytes.Buffer
	hit bool
}

func (w *signalWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.buf.Write(p)
	if !w.hit && strings.Contains(w.buf.String(), w.text) {
		w.hit = true
		close(w.seen)
	}
	return len(p), nil
}

func (w *signalWriter) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.String()
}
