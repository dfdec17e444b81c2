package image

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// listed is what a tar file says of an entry.
type listed struct {
	Name, Link, Content string
	Type                byte
	Mode                int64
}

func list(t *testing.T, r io.Reader) []listed {
	t.Helper()
	var all []listed
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(tr)
		if err != nil {
			t.Fatal(err)
		}
		if h.Uid != 0 || h.Gid != 0 || h.ModTime.Unix() != 0 {
			t.Errorf("%s belongs to %d:%d and is of %v, want root and the epoch", h.Name, h.Uid, h.Gid, h.ModTime)
		}
		all = append(all, listed{Name: h.Name, Link: h.Linkname, Content: string(content), Type: h.Typeflag, Mode: h.Mode})
	}
}

func TestWriteTar(t *testing.T) {
	source := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(source, []byte("program"), 0o755); err != nil {
		t.Fatal(err)
	}
	entries := []entry{
		{path: "/usr/bin/p", mode: 0o755, source: source, size: 7},
		{path: "/usr/bin/nc", link: "busybox"},
		{path: "/etc/passwd", mode: 0o644, content: "root"},
		{path: "/tmp", mode: 0o1777},
		{path: "/usr/bin/nc", link: "nc.openbsd"},
	}
	want := []listed{
		{Name: "etc/", Type: tar.TypeDir, Mode: 0o755},
		{Name: "etc/passwd", Type: tar.TypeReg, Mode: 0o644, Content: "root"},
		{Name: "tmp/", Type: tar.TypeDir, Mode: 0o1777},
		{Name: "usr/", Type: tar.TypeDir, Mode: 0o755},
		{Name: "usr/bin/", Type: tar.TypeDir, Mode: 0o755},
		{Name: "usr/bin/nc", Type: tar.TypeSymlink, Mode: 0o777, Link: "nc.openbsd"},
		{Name: "usr/bin/p", Type: tar.TypeReg, Mode: 0o755, Content: "program"},
	}
	var out bytes.Buffer
	if err := writeTar(&out, complete(entries)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, list(t, &out)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestLayer(t *testing.T) {
	dir := t.TempDir()
	made, err := newLayer(dir, filepath.Join(dir, "one"), []entry{{path: "/a", mode: 0o644, content: "x"}, {path: "/b", link: "a"}})
	if err != nil {
		t.Fatal(err)
	}
	same, err := newLayer(dir, filepath.Join(dir, "two"), []entry{{path: "/b", link: "a"}, {path: "/a", mode: 0o644, content: "x"}})
	if err != nil {
		t.Fatal(err)
	}
	if made.digest != same.digest || made.diffID != same.diffID {
		t.Errorf("the same files gave layers %v and %v", made, same)
	}
	info, err := os.Stat(made.path)
	if err != nil {
		t.Fatal(err)
	}
	if made.size != info.Size() {
		t.Errorf("Size is %d, the file has %d bytes", made.size, info.Size())
	}
	plain, err := made.Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	want := []listed{{Name: "a", Type: tar.TypeReg, Mode: 0o644, Content: "x"}, {Name: "b", Type: tar.TypeSymlink, Mode: 0o777, Link: "a"}}
	if diff := cmp.Diff(want, list(t, plain)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestOpenLayerRefusesDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "layer")
	if err := os.WriteFile(path, []byte("no layer"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openLayer(path); err == nil {
		t.Error("no error")
	}
}
