package lab

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// runFolder returns a folder that looks like a run folder.
func runFolder(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "run")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, topologyFile), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestLock(t *testing.T) {
	dir := runFolder(t)
	if Alive(dir) {
		t.Error("a lab runs in a new folder")
	}
	f, err := lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !Alive(dir) {
		t.Error("no lab runs in a locked folder")
	}
	if _, err := lock(dir); !errors.Is(err, ErrRunning) {
		t.Errorf("locking twice: %v, want ErrRunning", err)
	}
	if err := Remove(dir); !errors.Is(err, ErrRunning) {
		t.Errorf("removing a locked folder: %v, want ErrRunning", err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if Alive(dir) {
		t.Error("a lab runs in an unlocked folder")
	}
	if err := Remove(dir); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
}

func TestRemoveOnlyRunFolders(t *testing.T) {
	dir := t.TempDir()
	if err := Remove(dir); err == nil {
		t.Error("a folder was removed that is not a run folder")
	}
	if _, err := os.Stat(dir); err != nil {
		t.Error(err)
	}
}
