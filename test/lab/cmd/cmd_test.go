package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/tombolo-net/tombolo/test/lab"
)

func TestParseRatio(t *testing.T) {
	tests := []struct {
		in   string
		want float64
		ok   bool
	}{
		{"5%", 0.05, true},
		{"0.05", 0.05, true},
		{"1", 1, true},
		{"100%", 1, true},
		{"0", 0, true},
		{"101%", 0, false},
		{"-0.1", 0, false},
		{"NaN", 0, false},
		{"some", 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.in, func(t *testing.T) {
			got, err := parseRatio(tt.in)
			if got != tt.want || (err == nil) != tt.ok {
				t.Errorf("got %v, %v", got, err)
			}
		})
	}
}

func TestCodeOf(t *testing.T) {
	run := func(script string) error { return exec.Command("sh", "-c", script).Run() }
	failure := errors.New("no such program")
	tests := []struct {
		name string
		in   error
		want int
		err  error
	}{
		{"well", run("exit 0"), 0, nil},
		{"exit code", run("exit 7"), 7, nil},
		{"signal", run("kill -KILL $$"), 137, nil},
		{"asked to end", context.Canceled, 143, nil},
		{"not started", failure, 0, failure},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := codeOf(tt.in); got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("got %d, %v, want %d, %v", got, err, tt.want, tt.err)
			}
		})
	}
}

func TestLookPath(t *testing.T) {
	first, second := t.TempDir(), t.TempDir()
	for _, tt := range []struct {
		path string
		mode os.FileMode
	}{
		{filepath.Join(first, "both"), 0o755}, {filepath.Join(second, "both"), 0o755},
		{filepath.Join(first, "text"), 0o644}, {filepath.Join(second, "text"), 0o755},
	} {
		if err := os.WriteFile(tt.path, nil, tt.mode); err != nil {
			t.Fatal(err)
		}
	}
	env := []string{"PATH=/nowhere", "PATH=" + first + ":" + second}
	tests := []struct{ in, want string }{
		{"both", filepath.Join(first, "both")},
		{"text", filepath.Join(second, "text")},
		{filepath.Join(second, "both"), filepath.Join(second, "both")},
	}
	for _, tt := range tests {
		if got, err := lookPath(tt.in, env); got != tt.want || err != nil {
			t.Errorf("%s: got %s, %v, want %s", tt.in, got, err, tt.want)
		}
	}
	if _, err := lookPath("neither", env); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("a program that is not there: %v", err)
	}
}

func TestRunDir(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("TOMBOLO_CACHE", cache)
	t.Setenv(lab.RunEnv, "/of/the/environment")
	if err := os.MkdirAll(filepath.Join(cache, "labs"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/of/the/name", filepath.Join(cache, "labs", "mine")); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		want string
	}{{"", "/of/the/environment"}, {"mine", "/of/the/name"}} {
		if got, err := runDir(tt.name); got != tt.want || err != nil {
			t.Errorf("name %q: got %s, %v, want %s", tt.name, got, err, tt.want)
		}
	}
	for _, name := range []string{"other", "../mine", ".."} {
		if got, err := runDir(name); err == nil {
			t.Errorf("name %q: got %s, want an error", name, got)
		}
	}
}

func TestInstallFlag(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "default"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "default", "kustomization.yaml"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	var folder string
	if err := (&installFlag{&folder}).Set(dir); err != nil || folder != dir {
		t.Errorf("got %s, %v, want %s", folder, err, dir)
	}
	if err := (&installFlag{&folder}).Set(t.TempDir()); err == nil {
		t.Error("a folder without manifests was taken")
	}
}
