package image

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// goVersion returns the Go toolchain's version, which a built program depends on.
func goVersion(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOVERSION").Output()
	if err != nil {
		return "", fmt.Errorf("asking for Go's version: %w", err)
	}
	return string(out), nil
}

// goBuild builds a program of one file, which imports nothing but the standard library, in dir and
// returns its path.
func goBuild(ctx context.Context, dir, source string) (string, error) {
	file, program := filepath.Join(dir, "main.go"), filepath.Join(dir, "program")
	if err := os.WriteFile(file, []byte(source), 0o644); err != nil {
		return "", fmt.Errorf("writing the program: %w", err)
	}
	// With the Makefile's flags the standard library is there already.
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-gcflags=all=-dwarf=false", "-ldflags", "-s -w", "-o", program, file)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GO111MODULE=off", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the program: %w: %s", err, bytes.TrimSpace(out))
	}
	return program, nil
}
