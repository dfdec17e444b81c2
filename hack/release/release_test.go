package release

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestCheckVersion(t *testing.T) {
	for v, want := range map[string]bool{
		"v0.1.0": true, "v1.20.3": true, "v0.1.0-rc.1": true,
		"": false, "0.1.0": false, "v1.2": false, "v01.2.3": false, "v1.2.3+build": false, "v1.2.3-": false, "dev": false,
	} {
		if got := checkVersion(v) == nil; got != want {
			t.Errorf("version %q is accepted: %t, want %t", v, got, want)
		}
	}
}

// TestWriteSums: sha256sum accepts the checksums, and no longer once a file differs.
func TestWriteSums(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"b", "a"} {
		write(t, filepath.Join(dir, name), "content of "+name)
	}
	if err := writeSums(dir, []string{"b", "a"}); err != nil {
		t.Fatal(err)
	}
	check := func() (string, error) {
		cmd := exec.Command("sha256sum", "--check", "--strict", sums)
		cmd.Dir = dir
		out, err := cmd.Output()
		return string(out), err
	}
	if out, err := check(); err != nil || out != "a: OK\nb: OK\n" {
		t.Errorf("sha256sum says %q, %v", out, err)
	}
	write(t, filepath.Join(dir, "b"), "something else")
	if out, err := check(); err == nil {
		t.Errorf("a file has changed, and sha256sum says %q", out)
	}
}

// TestSameBytes: the archive of the plugin is the same from two copies of the sources, in folders of
// different names and with files of different times.
func TestSameBytes(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles twice")
	}
	at := time.Date(2026, 12, 1, 10, 0, 0, 0, time.UTC)
	var archives [2][]byte
	for i, name := range []string{"one", "the other folder"} {
		r := Release{Version: "v1.2.3", Time: at, Tree: filepath.Join(t.TempDir(), name), Out: t.TempDir()}
		copyTree(t, r.Tree, at.Add(time.Duration(i)*time.Hour))
		d, err := r.pluginArchive(context.Background(), platform{"linux", "amd64"})
		if err != nil {
			t.Fatal(err)
		}
		if archives[i], err = os.ReadFile(filepath.Join(r.Out, d.Archive)); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(archives[0], archives[1]) {
		t.Error("two builds of the same sources differ")
	}
	program := untar(t, archives[0])[plugin]
	out, err := exec.Command(program, "version").Output()
	if err != nil || !strings.HasPrefix(string(out), "v1.2.3 ") {
		t.Errorf("the plugin from the archive says %q, %v", out, err)
	}
}

// TestKrewManifest: the manifest names each archive where the release has it.
func TestKrewManifest(t *testing.T) {
	got, err := krewManifest("v1.2.3", []download{
		{OS: "linux", Arch: "arm64", Archive: "x.tar.gz", SHA256: "abc", Program: plugin},
		{OS: "windows", Arch: "amd64", Archive: "x.zip", SHA256: "def", Program: plugin + ".exe"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/tombolo.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// copyTree copies the sources of the module into a folder, as files of that time.
func copyTree(t *testing.T, to string, at time.Time) {
	t.Helper()
	cmd := exec.Command("bash", "-euo", "pipefail", "-c",
		`cd "$(go env GOMOD | xargs dirname)" && find . \( -name bin -o -name dist -o -name .git -o -path ./test \) -prune -o -type f -print0 |
			tar --create --null --files-from=- | tar --extract --directory "$0"`, to)
	if err := os.MkdirAll(to, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("copying the sources: %v: %s", err, out)
	}
	err := filepath.WalkDir(to, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chtimes(path, at, at)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// untar unpacks an archive with tar and returns the path of each file.
func untar(t *testing.T, archive []byte) map[string]string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.Command("tar", "--extract", "--gzip", "--directory", dir)
	cmd.Stdin = bytes.NewReader(archive)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("tar: %v: %s", err, out)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for _, entry := range entries {
		files[entry.Name()] = filepath.Join(dir, entry.Name())
	}
	return files
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
