package release

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/tombolo-net/tombolo/test/harness/shell"
)

const modulePath = "github.com/tombolo-net/tombolo"

// platform is what a program is built for, in Go's words.
type platform struct{ os, arch string }

func (p platform) String() string { return p.os + "_" + p.arch }

// build compiles the program of cmd/ that is called name for a platform, and returns its content.
// It is static and has no path of this machine in it.
func (r Release) build(ctx context.Context, name string, p platform) ([]byte, error) {
	dir, err := os.MkdirTemp("", "tombolo-release-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, name)
	flags := fmt.Sprintf("-s -w -X %s/cmd/version.Version=%s", modulePath, r.Version)
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", flags, "-o", out, "./cmd/"+name)
	cmd.Dir = r.Tree
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off", "GOTOOLCHAIN="+Toolchain,
		"GOOS="+p.os, "GOARCH="+p.arch, "GOAMD64=v1", "GOARM64=v8.0")
	if _, err := shell.Output(cmd); err != nil {
		return nil, fmt.Errorf("building %s for %s: %w", name, p, err)
	}
	return os.ReadFile(out)
}
