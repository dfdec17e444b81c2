package testbin

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// writeTree writes files, by slash-separated path, and returns their folder.
func writeTree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(content), 0o755))
	}
	return dir
}

// readTree is the inverse of writeTree.
func readTree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	must(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		files[filepath.ToSlash(name)] = string(data)
		return err
	}))
	return files
}

// prog is a source with one program that prints a stamped version.
func prog() map[string]string {
	return map[string]string{
		"prog/go.mod":   "module test.test/prog\n\ngo 1.26.0\n\nrequire test.test/x v1.2.3\n\nreplace test.test/x => ./x\n",
		"prog/go.sum":   "",
		"prog/tools.go": "//go:build tools\n\npackage prog\n\nimport _ \"test.test/x\"\n",
		"prog/x/go.mod": "module test.test/x\n\ngo 1.26.0\n",
		"prog/x/x.go":   "package main\n\nvar version = \"unset\"\n\nfunc main() { print(version) }\n",
	}
}

func TestGoBuild(t *testing.T) {
	tree := writeTree(t, prog())
	before := readTree(t, tree)
	src, err := readSource(filepath.Join(tree, "prog"), "test.test/x")
	must(t, err)
	b := goBuild{folder: "prog", module: "test.test/x", digest: src.digest, pkg: "test.test/x",
		ldflags: []string{"-X", "main.version=" + src.version}}
	out := filepath.Join(t.TempDir(), "x")
	j := job{tree: tree, work: t.TempDir(), out: out, parallel: 1, log: io.Discard, phase: func(string) {}}
	version, err := b.build(t.Context(), j)
	must(t, err)
	said, err := exec.CommandContext(t.Context(), out).CombinedOutput()
	must(t, err)
	if version != "v1.2.3" || string(said) != "v1.2.3" {
		t.Errorf("built %s, which says %s, want v1.2.3", version, said)
	}
	if diff := cmp.Diff(before, readTree(t, tree)); diff != "" {
		t.Errorf("the build wrote into the tree (-before +after):\n%s", diff)
	}

	must(t, os.WriteFile(filepath.Join(tree, "prog", "go.sum"), []byte("\n"), 0o644))
	_, err = b.build(t.Context(), j)
	checkErr(t, err, "go generate ./hack/testbin")
}

func TestKubernetesVersionFlags(t *testing.T) {
	got := strings.Join(kubernetesVersionFlags("v1.36.3"), " ")
	want := "-X k8s.io/component-base/version.gitVersion=v1.36.3" +
		" -X k8s.io/component-base/version.gitMajor=1" +
		" -X k8s.io/component-base/version.gitMinor=36" +
		" -X k8s.io/component-base/version.gitTreeState=clean"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("flags (-want +got):\n%s", diff)
	}
}

func TestCommandFailure(t *testing.T) {
	var log strings.Builder
	c := command{dir: t.TempDir(), env: os.Environ(), log: &log}
	err := c.run(t.Context(), "sh", "-c", "for i in $(seq 100); do echo line $i; done; exit 3")
	checkErr(t, err, "exit status 3\nline 81\n")
	if !strings.Contains(log.String(), "line 1\n") {
		t.Errorf("the log lacks the beginning: %q", log.String())
	}
}

// TestCommandInterrupted stops a shell that waits for a child: both must go,
// or the run would wait for the child to close its output.
func TestCommandInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := command{dir: t.TempDir(), env: os.Environ(), log: writerFunc(func(p []byte) {
		if strings.Contains(string(p), "up\n") {
			cancel()
		}
	})}
	start := time.Now()
	err := c.run(ctx, "sh", "-c", "echo up; sleep 1000; true")
	if err != context.Canceled {
		t.Errorf("error %v, want context.Canceled", err)
	}
	if took := time.Since(start); took >= stopGrace {
		t.Errorf("took %s: the child was not stopped", took)
	}
}

func TestNeedTools(t *testing.T) {
	must(t, needTools("sh"))
	checkErr(t, needTools("sh", "no-such-tool-1", "no-such-tool-2"), "missing no-such-tool-1, no-such-tool-2; run: hack/deps.sh build")
}

// writerFunc is a function as an io.Writer.
type writerFunc func(p []byte)

func (f writerFunc) Write(p []byte) (int, error) { f(p); return len(p), nil }

func TestKernelVersion(t *testing.T) {
	got := kernelRecipe().version
	if want := "7.2.11-1~bpo13+1+config:fb9adbcf96c4"; got != want {
		t.Errorf("version %s, want %s: a changed configuration makes ready-made copies unusable", got, want)
	}
}

// TestKernelEnv checks that the caller's settings do not reach the makefiles.
func TestKernelEnv(t *testing.T) {
	t.Setenv("ARCH", "arm64")
	t.Setenv("KCFLAGS", "-O0")
	t.Setenv("PATH", "/bin")
	env := kernelEnv()
	for _, name := range []string{"ARCH=", "KCFLAGS="} {
		if slices.ContainsFunc(env, func(v string) bool { return strings.HasPrefix(v, name) }) {
			t.Errorf("%s is passed on", name)
		}
	}
	if !slices.Contains(env, "PATH=/bin") {
		t.Errorf("PATH is not passed on: %v", env)
	}
}

// TestKernelDownload uses an apt-get of its own that knows some versions.
func TestKernelDownload(t *testing.T) {
	const pinned, newer, mirror = "7.2.1-1", "7.2.9-1", "http://mirror.test/debian/"
	tests := []struct {
		name       string
		targets    string // what the system's package sources are
		known      string // versions in the suite's lists
		want       string
		wantMirror string
		wantErr    string
	}{
		{name: "pinned", targets: "Debian-Security http://security.test/\nDebian " + mirror, known: pinned + " " + newer, want: pinned, wantMirror: mirror},
		{name: "gone from the archive", targets: "Debian " + mirror, known: newer, want: newer, wantMirror: mirror},
		{name: "a system that is not Debian", targets: "Ubuntu http://ubuntu.test/", known: pinned, want: pinned, wantMirror: debianMirror},
		{name: "no package at all", targets: "Debian " + mirror, wantErr: "downloading " + kernelPackage + " from " + kernelSuite},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bin := writeTree(t, map[string]string{"apt-get": fakeAptGet(tt.targets, tt.known)})
			t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
			work := t.TempDir()
			c := command{dir: work, env: kernelEnv(), log: io.Discard}
			deb, err := kernelBuild{version: pinned}.download(t.Context(), c, job{phase: func(string) {}})
			checkErr(t, err, tt.wantErr)
			if tt.wantErr != "" {
				return
			}
			if want := filepath.Join(work, kernelPackage+"_"+tt.want+"_all.deb"); deb != want {
				t.Errorf("got %s, want %s", deb, want)
			}
			wantContent(t, filepath.Join(work, "apt", "sources.list"), "deb "+tt.wantMirror+" "+kernelSuite+" main\n")
		})
	}
}

// fakeAptGet is a script that prints targets as the system's sources, and downloads an empty package
// if it knows its version and is given lists of the caller's.
func fakeAptGet(targets, known string) string {
	return fmt.Sprintf(`#!/bin/sh
[ "$1" = indextargets ] && { echo "%s"; exit 0; }
known=
while [ "$1" = -o ]; do shift 2; known="%s"; done
[ "$1" = update ] && exit 0
case $2 in
*=*) version=${2#*=} ;;
*) version=${known##* } ;;
esac
for k in $known; do
	[ "$k" = "$version" ] && { : > "${2%%=*}_${version}_all.deb"; exit 0; }
done
echo "E: Version '$version' for '$2' was not found" >&2
exit 100
`, targets, known)
}
