package testbin

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// fakeBuild writes content and counts; it calls during in the middle, if set.
type fakeBuild struct {
	content string
	version string // what it says it built; "" means v1
	err     error
	count   *atomic.Int32
	during  func(ctx context.Context)
}

func (b fakeBuild) identity() string { return "fake " + b.content }

func (b fakeBuild) build(ctx context.Context, j job) (string, error) {
	if b.count != nil {
		b.count.Add(1)
	}
	if err := os.WriteFile(j.out, []byte(b.content[:len(b.content)/2]), 0o644); err != nil {
		return "", err
	}
	if b.during != nil {
		b.during(ctx)
	}
	if err := errors.Join(ctx.Err(), b.err); err != nil {
		return "", err
	}
	version := b.version
	if version == "" {
		version = "v1"
	}
	return version, os.WriteFile(j.out, []byte(b.content), 0o644)
}

// fakeRecipe returns the recipe of a program whose content is its name's.
func fakeRecipe(name string, b fakeBuild) recipe {
	b.content = "content of " + name
	return recipe{name: name, version: "v1", usual: time.Second, builder: b}
}

// builtStore returns a store in which program a is built and published.
func builtStore(t *testing.T) (*store, recipe) {
	t.Helper()
	r := fakeRecipe("a", fakeBuild{})
	s := newStore(t.TempDir(), []recipe{r})
	if err := newRun(s, Config{}).ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s, r
}

func TestDamagedEntryIsFoundAndRebuilt(t *testing.T) {
	tests := []struct {
		name    string
		damage  func(t *testing.T, s *store, r recipe)
		wantErr string // of verify, before the rebuild
	}{
		{"truncated", func(t *testing.T, s *store, r recipe) {
			must(t, os.Truncate(filepath.Join(s.entryDir(r), r.name), 3))
		}, "has 3 bytes, not"},
		{"same size, other content", func(t *testing.T, s *store, r recipe) {
			must(t, os.WriteFile(filepath.Join(s.entryDir(r), r.name), []byte("CONTENT OF a"), 0o755))
		}, "has SHA-256"},
		{"program gone", func(t *testing.T, s *store, r recipe) {
			must(t, os.Remove(filepath.Join(s.entryDir(r), r.name)))
			must(t, os.Remove(filepath.Join(s.setDir, r.name)))
		}, "no such file"},
		{"record gone", func(t *testing.T, s *store, r recipe) {
			must(t, os.RemoveAll(s.entryDir(r)))
			must(t, os.Remove(filepath.Join(s.setDir, r.name)))
		}, "not in the cache"},
		{"record damaged", func(t *testing.T, s *store, r recipe) {
			must(t, os.WriteFile(filepath.Join(s.entryDir(r), "record.json"), []byte(`{"na`), 0o644))
			must(t, os.Truncate(filepath.Join(s.setDir, r.name), 0))
		}, "record of a is damaged"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, r := builtStore(t)
			tt.damage(t, s, r)
			_, err := s.verify(r)
			checkErr(t, err, tt.wantErr)
			wantUnverified(t, s, "a")
			must(t, newRun(s, Config{}).ensure(t.Context()))
			wantUnverified(t, s)
			wantContent(t, filepath.Join(s.setDir, "a"), "content of a")
		})
	}
}

func TestSetFolderIsRepairedWithoutBuilding(t *testing.T) {
	tests := []struct {
		name   string
		damage func(t *testing.T, s *store)
	}{
		{"link gone", func(t *testing.T, s *store) { must(t, os.Remove(filepath.Join(s.setDir, "a"))) }},
		{"link replaced", func(t *testing.T, s *store) {
			must(t, os.Remove(filepath.Join(s.setDir, "a")))
			must(t, os.WriteFile(filepath.Join(s.setDir, "a"), []byte("other"), 0o755))
		}},
		{"touched", func(t *testing.T, s *store) {
			must(t, os.Chtimes(filepath.Join(s.setDir, "a"), time.Time{}, time.Unix(1, 0)))
		}},
		{"stamps damaged", func(t *testing.T, s *store) {
			must(t, os.WriteFile(filepath.Join(s.setDir, "verified.json"), []byte(`{"a":{"size":12}, "b`), 0o644))
		}},
		{"left-over link", func(t *testing.T, s *store) {
			must(t, os.Remove(filepath.Join(s.setDir, "a")))
			must(t, os.WriteFile(filepath.Join(s.setDir, "a.next"), nil, 0o644))
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var count atomic.Int32
			s := newStore(t.TempDir(), []recipe{fakeRecipe("a", fakeBuild{count: &count})})
			must(t, newRun(s, Config{}).ensure(t.Context()))
			tt.damage(t, s)
			wantUnverified(t, s, "a")
			must(t, newRun(s, Config{}).ensure(t.Context()))
			wantUnverified(t, s)
			wantContent(t, filepath.Join(s.setDir, "a"), "content of a")
			if n := count.Load(); n != 1 {
				t.Errorf("built %d times, want 1", n)
			}
		})
	}
}

func TestChangedRecipeIsAnotherSet(t *testing.T) {
	s, r := builtStore(t)
	r.version = "v2"
	next := newStore(filepath.Dir(s.root), []recipe{r})
	if next.setDir == s.setDir {
		t.Fatalf("both versions use %s", s.setDir)
	}
	wantUnverified(t, next, "a")
	wantUnverified(t, s)
}

func TestList(t *testing.T) {
	ready, gone, changed := fakeRecipe("ready", fakeBuild{}), fakeRecipe("gone", fakeBuild{}), fakeRecipe("changed", fakeBuild{})
	s := newStore(t.TempDir(), []recipe{ready, gone, changed})
	must(t, newRun(s, Config{Names: []string{"ready", "changed"}}).ensure(t.Context()))
	must(t, os.Truncate(filepath.Join(s.setDir, "changed"), 1))
	var out strings.Builder
	must(t, s.list(&out))
	want := "NAME     VERSION  STATE\n" +
		"ready    v1       ready, built from source in 0.0s\n" +
		"gone     v1       missing\n" +
		"changed  v1       changed\n"
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("list (-want +got):\n%s", diff)
	}
}

// TestDir runs the exported functions against an empty cache.
func TestDir(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("TOMBOLO_CACHE", cache)
	if got, err := CacheDir(); err != nil || got != cache {
		t.Errorf("CacheDir = %q, %v; want %q", got, err, cache)
	}
	_, err := Dir()
	checkErr(t, err, "run: make testbin")
	checkErr(t, err, "runc, cni-host-local")
}

func TestCacheDirWithoutHome(t *testing.T) {
	for _, name := range []string{"TOMBOLO_CACHE", "XDG_CACHE_HOME", "HOME"} {
		t.Setenv(name, "")
	}
	_, err := CacheDir()
	checkErr(t, err, "set TOMBOLO_CACHE")
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantUnverified(t *testing.T, s *store, want ...string) {
	t.Helper()
	got, err := s.unverified()
	must(t, err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("unverified (-want +got):\n%s", diff)
	}
}

func wantContent(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	must(t, err)
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}
