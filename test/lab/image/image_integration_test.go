//go:build integration

package image

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// paths returns the names of all files in the image.
func paths(t *testing.T, img v1.Image) map[string]bool {
	t.Helper()
	r := mutate.Extract(img)
	defer r.Close()
	all := map[string]bool{}
	for _, l := range list(t, r) {
		all[l.Name] = true
	}
	return all
}

// Images are whole, are found under their names, hold what their recipes promise, and are made
// once.
func TestEnsure(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct {
		ref  string
		want []string
	}{
		{"busybox", []string{"usr/bin/busybox", "usr/bin/sh", "usr/bin/wget", "etc/passwd", "usr/lib/x86_64-linux-gnu/libc.so.6", "usr/lib64/ld-linux-x86-64.so.2", "bin"}},
		{"alpine/socat:1.7.4.4", []string{"usr/bin/socat", "usr/bin/sh"}},
		{Pause, []string{"pause"}},
		{Echo, []string{"echo"}},
	} {
		archives, err := Ensure(t.Context(), dir, os.Stderr, tt.ref)
		if err != nil {
			t.Fatal(err)
		}
		tag, err := name.NewTag(tt.ref)
		if err != nil {
			t.Fatal(err)
		}
		img, err := tarball.ImageFromPath(archives[0].Path, &tag)
		if err != nil {
			t.Fatal(err)
		}
		if err := validate.Image(img, validate.Fast); err != nil {
			t.Errorf("%s: %v", tt.ref, err)
		}
		have := paths(t, img)
		for _, path := range tt.want {
			if !have[path] {
				t.Errorf("%s has no %s", tt.ref, path)
			}
		}
		again, err := Ensure(t.Context(), dir, failOnWrite{t}, tt.ref)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(archives, again); diff != "" {
			t.Errorf("%s the second time (-first +second):\n%s", tt.ref, diff)
		}
	}
}

// failOnWrite is the progress of what has nothing to do.
type failOnWrite struct{ t *testing.T }

func (w failOnWrite) Write(text []byte) (int, error) {
	w.t.Errorf("there should be nothing to do, but: %s", text)
	return len(text), nil
}
