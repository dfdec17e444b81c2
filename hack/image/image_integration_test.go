//go:build integration

package main

import (
	"bytes"
	"debug/elf"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"github.com/tombolo-net/tombolo/test/lab/image"
)

// files are all files of the image. LIB stands for the folder with the architecture's libraries.
var files = []string{
	"bin", "etc/group", "etc/nsswitch.conf", "etc/passwd", "lib", "lib64", "sbin", "tombolo",
	"LIB/libbsd.so.0", "LIB/libc.so.6", "LIB/libedit.so.2", "LIB/libgmp.so.10", "LIB/libjansson.so.4", "LIB/libmd.so.0",
	"LIB/libmnl.so.0", "LIB/libnftables.so.1", "LIB/libnftnl.so.11", "LIB/libtinfo.so.6", "LIB/libxtables.so.12",
	"usr/sbin/nft", "var/run",
}

// architectures is what differs between the images.
var architectures = map[string]struct {
	machine elf.Machine
	lib     string
	more    []string
}{
	"amd64": {elf.EM_X86_64, "usr/lib/x86_64-linux-gnu", []string{"usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2", "usr/lib64/ld-linux-x86-64.so.2"}},
	"arm64": {elf.EM_AARCH64, "usr/lib/aarch64-linux-gnu", []string{"usr/lib/aarch64-linux-gnu/ld-linux-aarch64.so.1", "usr/lib/ld-linux-aarch64.so.1"}},
}

// maxSize bounds an image: 45 MiB unpacked.
const maxSize = 45 << 20

// The images hold tombolo, nft and the libraries that nft needs, each for its architecture, and no
// shell. Both programs of this machine's architecture run in there.
func TestImages(t *testing.T) {
	dir := t.TempDir()
	o := options{ref: "example.com/tombolo:v1.2.3", version: "v1.2.3", revision: "0123abcd", binaries: dir, out: filepath.Join(dir, "out")}
	for _, arch := range image.Architectures() {
		build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", filepath.Join(dir, arch, "tombolo"), "../../cmd/tombolo")
		build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
		if output, err := build.CombinedOutput(); err != nil {
			t.Fatalf("building tombolo: %v\n%s", err, output)
		}
	}
	if err := run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	images := readIndex(t, o)
	for _, arch := range image.Architectures() {
		t.Run(arch, func(t *testing.T) {
			img := images[arch]
			if img == nil {
				t.Fatalf("image.tar has no image for %s", arch)
			}
			checkConfig(t, img, o)
			root := filepath.Join(dir, "root-"+arch)
			if err := extract(img, root); err != nil {
				t.Fatal(err)
			}
			checkFiles(t, root, arch)
		})
	}
	root := filepath.Join(dir, "root-amd64")
	if got := inRoot(t, root, "/tombolo", "--version"); !strings.Contains(got, "tombolo") {
		t.Errorf("tombolo --version says %q", got)
	}
	if got := inRoot(t, root, "/usr/sbin/nft", "--version"); !strings.HasPrefix(got, "nftables v1.") {
		t.Errorf("nft --version says %q", got)
	}
}

// readIndex reads image.tar as a runtime does, and returns its images by architecture.
func readIndex(t *testing.T, o options) map[string]v1.Image {
	t.Helper()
	dir := t.TempDir()
	if output, err := exec.CommandContext(t.Context(), "tar", "-xf", filepath.Join(o.out, "image.tar"), "-C", dir).CombinedOutput(); err != nil {
		t.Fatalf("unpacking image.tar: %v\n%s", err, output)
	}
	top, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := top.IndexManifest()
	if err != nil || len(manifest.Manifests) != 1 {
		t.Fatalf("image.tar has %d entries, error %v", len(manifest.Manifests), err)
	}
	entry := manifest.Manifests[0]
	if got := entry.Annotations["org.opencontainers.image.ref.name"]; got != o.ref {
		t.Errorf("the image is called %q, want %q", got, o.ref)
	}
	digest, err := os.ReadFile(filepath.Join(o.out, "image.digest"))
	if err != nil || strings.TrimSpace(string(digest)) != entry.Digest.String() {
		t.Errorf("image.digest has %q, want %s; error %v", digest, entry.Digest, err)
	}
	index, err := top.ImageIndex(entry.Digest)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(index); err != nil {
		t.Error(err)
	}
	if manifest, err = index.IndexManifest(); err != nil {
		t.Fatal(err)
	}
	images := map[string]v1.Image{}
	for _, m := range manifest.Manifests {
		if images[m.Platform.Architecture], err = index.Image(m.Digest); err != nil {
			t.Fatal(err)
		}
	}
	return images
}

func checkConfig(t *testing.T, img v1.Image, o options) {
	t.Helper()
	file, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	c := file.Config
	if c.User != "65532:65532" || !slices.Equal(c.Entrypoint, []string{"/tombolo"}) || len(c.Cmd) != 0 {
		t.Errorf("user %q, entrypoint %q, command %q", c.User, c.Entrypoint, c.Cmd)
	}
	if v, r := c.Labels["org.opencontainers.image.version"], c.Labels["org.opencontainers.image.revision"]; v != o.version || r != o.revision {
		t.Errorf("labels: version %q, revision %q", v, r)
	}
}

// checkFiles wants the files of the image and no others. All programs and libraries are of the
// architecture.
func checkFiles(t *testing.T, root, arch string) {
	t.Helper()
	a := architectures[arch]
	want := slices.Clone(a.more)
	for _, name := range files {
		want = append(want, strings.Replace(name, "LIB", a.lib, 1))
	}
	slices.Sort(want)
	var have []string
	var size int64
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		size += info.Size()
		name, err := filepath.Rel(root, path)
		have = append(have, name)
		if info.Mode().Perm()&0o111 != 0 && info.Mode().IsRegular() || strings.Contains(name, ".so.") {
			checkMachine(t, path, a.machine)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(have)
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	if size > maxSize {
		t.Errorf("the image has %d bytes, more than %d", size, maxSize)
	}
}

func checkMachine(t *testing.T, path string, want elf.Machine) {
	t.Helper()
	f, err := elf.Open(path)
	if err != nil {
		t.Errorf("%s: %v", path, err)
		return
	}
	defer f.Close()
	if f.Machine != want {
		t.Errorf("%s is for %v, not %v", path, f.Machine, want)
	}
}

// inRoot runs a program with the folder as its root, in a user namespace of its own unless we are
// root, and returns what it says.
func inRoot(t *testing.T, root, program string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
	}
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Run(); err != nil {
		t.Fatalf("running %s in the image: %v\n%s", program, err, output.String())
	}
	return output.String()
}
