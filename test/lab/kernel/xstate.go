package kernel

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/tombolo-net/tombolo/hack/testbin"
)

// xstateSource is the library that lets user-mode kernels before 6.13 run on
// CPUs with AMX; the source says why.
//
//go:embed xstate/xstate.c
var xstateSource []byte

// xstateLibrary returns the path of the library to preload into a kernel, ""
// where this CPU needs none. It is built once, with gcc, and kept in the
// cache.
func xstateLibrary() (string, error) {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "", fmt.Errorf("reading the CPU's features: %w", err)
	}
	if !bytes.Contains(info, []byte(" amx_tile")) {
		return "", nil
	}
	cache, err := testbin.CacheDir()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(xstateSource)
	path := filepath.Join(cache, fmt.Sprintf("uml-xstate-%x.so", sum[:6]))
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	return path, buildLibrary(path)
}

// buildLibrary compiles the library beside path and renames it, so that path is
// whole or absent, whoever else builds it meanwhile.
func buildLibrary(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("making the cache: %w", err)
	}
	dir, err := os.MkdirTemp(filepath.Dir(path), ".build-")
	if err != nil {
		return fmt.Errorf("making the cache: %w", err)
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "xstate.so")
	cmd := exec.Command("gcc", "-O2", "-shared", "-fPIC", "-x", "c", "-o", out, "-")
	cmd.Stdin = bytes.NewReader(xstateSource)
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building the library that user-mode kernels need on a CPU with AMX: %w\n%s", err, text)
	}
	return os.Rename(out, path)
}
