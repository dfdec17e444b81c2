package image

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMerged(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want string
	}{
		{"/bin/sh", "/usr/bin/sh"},
		{"/lib64/ld.so", "/usr/lib64/ld.so"},
		{"/usr/bin/sh", "/usr/bin/sh"},
		{"/binary", "/binary"},
		{"/etc/lib/x", "/etc/lib/x"},
		{"/sbin/ip", "/usr/sbin/ip"},
		{"/lib/x86/libc.6", "/usr/lib/x86/libc.6"},
	} {
		if got := merged(tt.in); got != tt.want {
			t.Errorf("merged(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

// Links are followed inside of the tree: an absolute one does not lead out of it.
func TestResolve(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{"lib/x", "lib64", "etc"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(
		os.WriteFile(filepath.Join(root, "lib/x/ld-2.so"), []byte("ours"), 0o755),
		os.Symlink("ld-2.so", filepath.Join(root, "lib/x/ld.so")),
		os.Symlink("/lib/x/ld.so", filepath.Join(root, "lib64/ld.so")),
		os.Symlink("/etc/passwd", filepath.Join(root, "etc/out")),
		os.Symlink("loop", filepath.Join(root, "etc/loop")),
	); err != nil {
		t.Fatal(err)
	}
	tr := &tree{root: root}
	got, _, err := tr.resolve("/lib64/ld.so")
	if err != nil || got != filepath.Join(root, "lib/x/ld-2.so") {
		t.Errorf("resolve: %s, %v", got, err)
	}
	if _, _, err := tr.resolve("/etc/out"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a link to a file that only the host has: %v, want %v", err, fs.ErrNotExist)
	}
	if _, _, err := tr.resolve("/etc/loop"); err == nil {
		t.Error("a link to itself: no error")
	}
}

// A program comes with its interpreter and its libraries, also those that only libraries need.
func TestProgram(t *testing.T) {
	entries, err := (&tree{root: "/"}).program("sh")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, filepath.Base(e.path))
	}
	slices.Sort(names)
	for _, want := range []string{"sh", "libc.so.6", "ld-linux-x86-64.so.2"} {
		if !slices.Contains(names, want) {
			t.Errorf("sh without %s: %v", want, names)
		}
	}
}

func TestProgramErrors(t *testing.T) {
	if _, err := (&tree{root: t.TempDir()}).program("sh"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a program that is not there: %v, want %v", err, fs.ErrNotExist)
	}
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := binaryEntry(text, "/x"); err == nil {
		t.Error("a script as a static program: no error")
	}
	if _, err := binaryEntry("/bin/sh", "/x"); err == nil {
		t.Error("a dynamic program as a static one: no error")
	}
}

func TestAll(t *testing.T) {
	root := t.TempDir()
	if err := errors.Join(
		os.MkdirAll(filepath.Join(root, "lib/d"), 0o755),
		os.WriteFile(filepath.Join(root, "lib/d/f"), []byte("xyz"), 0o640),
		os.Symlink("f", filepath.Join(root, "lib/d/l")),
	); err != nil {
		t.Fatal(err)
	}
	got, err := (&tree{root: root}).all("/lib/d")
	if err != nil {
		t.Fatal(err)
	}
	want := []entry{
		{path: "/usr/lib/d", mode: 0o755},
		{path: "/usr/lib/d/f", mode: 0o640, source: filepath.Join(root, "lib/d/f"), size: 3},
		{path: "/usr/lib/d/l", mode: 0o777, link: "f"},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(entry{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A folder of plugins comes with the libraries that these need, and its other files as they are.
func TestPluginsBringTheirLibraries(t *testing.T) {
	host := &tree{root: "/"}
	root := t.TempDir()
	plugins, libraries := filepath.Join(root, "plugins"), filepath.Join(root, "usr/lib64")
	if err := errors.Join(os.MkdirAll(plugins, 0o755), os.MkdirAll(libraries, 0o755)); err != nil {
		t.Fatal(err)
	}
	at, err := host.find("libm.so.6", libDirs)
	if err != nil {
		t.Skip(err) // a host with another C library
	}
	needed := map[string]entry{}
	if err := host.closure(at, needed); err != nil {
		t.Fatal(err)
	}
	write := func(to, from string) {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(plugins, "plugin.so"), needed[merged(at)].source)
	for _, e := range needed {
		full := filepath.Join(root, e.path)
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		write(full, e.source)
	}
	if err := errors.Join(os.Symlink("usr/lib64", filepath.Join(root, "lib64")), os.Symlink("usr/lib", filepath.Join(root, "lib")),
		os.WriteFile(filepath.Join(plugins, "text"), []byte("x"), 0o644)); err != nil {
		t.Fatal(err)
	}
	entries, err := (&tree{root: root}).all("/plugins")
	if err != nil {
		t.Fatal(err)
	}
	var libc, text bool
	for _, e := range entries {
		libc = libc || filepath.Base(e.path) == "libc.so.6"
		text = text || e.path == "/plugins/text"
	}
	if !libc || !text {
		t.Errorf("the library is there: %v, the other file: %v; entries: %v", libc, text, entries)
	}
}
