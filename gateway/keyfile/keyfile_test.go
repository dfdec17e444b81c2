package keyfile_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tombolo-net/tombolo/gateway/keyfile"
	"github.com/tombolo-net/tombolo/gateway/wireguard"
)

func newKey(t *testing.T) wireguard.PrivateKey {
	t.Helper()
	key, err := wireguard.GeneratePrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func wantMode(t *testing.T, path string, want fs.FileMode) {
	t.Helper()
	state, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if state.Mode() != want {
		t.Errorf("%s has mode %s, want %s", path, state.Mode(), want)
	}
}

// What was written is read again. File and folder are root's alone, whatever was there before.
func TestWrite(t *testing.T) {
	for _, tt := range []struct {
		name string
		was  func(t *testing.T, path string)
	}{
		{"nothing", func(*testing.T, string) {}},
		{"no folder", func(t *testing.T, path string) { must(t, os.Remove(filepath.Dir(path))) }},
		{"an open folder", func(t *testing.T, path string) { must(t, os.Chmod(filepath.Dir(path), 0o777)) }},
		{"another key", func(t *testing.T, path string) { must(t, keyfile.At(path).Write(newKey(t))) }},
		{"a file that all may read", func(t *testing.T, path string) { must(t, os.WriteFile(path, []byte("x"), 0o644)) }},
		{"a write that did not end", func(t *testing.T, path string) { must(t, os.WriteFile(path+".new", []byte("half"), 0o644)) }},
		{"a link", func(t *testing.T, path string) { must(t, os.Symlink("/dev/null", path)) }},
		{"a link in the way of the write", func(t *testing.T, path string) { must(t, os.Symlink("/dev/null", path+".new")) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "tombolo", "gateway.key")
			must(t, os.Mkdir(filepath.Dir(path), 0o755))
			tt.was(t, path)
			f, key := keyfile.At(path), newKey(t)
			must(t, f.Write(key))
			wantMode(t, path, 0o600)
			wantMode(t, filepath.Dir(path), fs.ModeDir|0o700)
			if got, err := f.Read(); err != nil || got != (keyfile.Content{Key: key}) {
				t.Errorf("read another key, or exposed %s, error %v", got.Exposed, err)
			}
			wantOnly(t, path)
			must(t, f.Remove())
			must(t, f.Remove())
			if _, err := f.Read(); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("after Remove: %v", err)
			}
		})
	}
}

// A write that fails leaves what was there, and nothing beside it.
func TestWriteFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tombolo", "gateway.key")
	must(t, os.MkdirAll(filepath.Join(path, "full"), 0o700))
	if err := keyfile.At(path).Write(newKey(t)); err == nil {
		t.Error("a folder was replaced")
	}
	wantOnly(t, path)
}

// wantOnly wants nothing beside the file.
func wantOnly(t *testing.T, path string) {
	t.Helper()
	names, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(names) != 1 || names[0].Name() != filepath.Base(path) {
		t.Errorf("in the folder are %v, error %v", names, err)
	}
}

// A file without a key is told without its content.
func TestDamaged(t *testing.T) {
	for _, tt := range []struct {
		name string
		make func(path string) error
	}{
		{"empty", func(path string) error { return os.WriteFile(path, nil, 0o600) }},
		{"half a key", func(path string) error { return os.WriteFile(path, []byte("aGFsZg=="), 0o600) }},
		{"zeros", func(path string) error { return os.WriteFile(path, make([]byte, 45), 0o600) }},
		{"much", func(path string) error { return os.WriteFile(path, []byte(strings.Repeat("hush", 1<<20)), 0o600) }},
		{"a folder", func(path string) error { return os.Mkdir(path, 0o700) }},
		{"a link", func(path string) error { return os.Symlink("/etc/passwd", path) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "gateway.key")
			must(t, tt.make(path))
			_, err := keyfile.At(path).Read()
			if !errors.Is(err, keyfile.ErrDamaged) || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "hush") {
				t.Errorf("error is %v", err)
			}
		})
	}
}

// What others could read is told, and they cannot any more.
func TestExposed(t *testing.T) {
	dir := t.TempDir()
	path, key := filepath.Join(dir, "gateway.key"), newKey(t)
	must(t, os.WriteFile(path, []byte(key.Text()), 0o600))
	must(t, os.Chmod(path, 0o644))
	must(t, os.Chmod(dir, 0o755))
	for _, want := range []fs.FileMode{0o644, 0} {
		got, err := keyfile.At(path).Read()
		if err != nil || got.Key != key || got.Exposed != want {
			t.Errorf("exposed %s, want %s, error %v", got.Exposed, want, err)
		}
	}
	wantMode(t, path, 0o600)
	wantMode(t, dir, fs.ModeDir|0o700)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
