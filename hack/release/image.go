package release

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/tombolo-net/tombolo/test/harness/shell"
)

// program is what the image holds: the operator, the gateway and the dataplane.
const program = "tombolo"

// digestFile has the digest of the image, as sha256:<hex> and a newline.
const digestFile = "image.digest"

// image is the name under which the release's image is published.
func (r Release) image() string { return "ghcr.io/tombolo-net/tombolo:" + r.Version }

// pinnedImage is image with the digest that imagePart has written: what the release installs,
// whatever becomes of the tag.
func (r Release) pinnedImage() (string, error) {
	digest, err := os.ReadFile(filepath.Join(r.Out, digestFile))
	if err != nil {
		return "", err
	}
	return r.image() + "@" + strings.TrimSpace(string(digest)), nil
}

// imagePart writes the image as OCI archives, one of all architectures and one of each, and the
// digest by which a registry will know it.
func imagePart(ctx context.Context, r Release) ([]string, error) {
	dir, err := os.MkdirTemp("", "tombolo-image-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	names := []string{"image.tar", digestFile}
	for _, arch := range []string{"amd64", "arm64"} {
		binary, err := r.build(ctx, program, platform{"linux", arch})
		if err != nil {
			return nil, err
		}
		if err := os.MkdirAll(filepath.Join(dir, arch), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(dir, arch, program), binary, 0o755); err != nil {
			return nil, err
		}
		names = append(names, "image-"+arch+".tar")
	}
	out, err := filepath.Abs(r.Out)
	if err != nil {
		return nil, err
	}
	revision, err := exec.CommandContext(ctx, "git", "-C", r.Tree, "rev-parse", "HEAD").Output()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "go", "run", "./hack/image", "-ref", r.image(), "-version", r.Version,
		"-revision", strings.TrimSpace(string(revision)), "-binaries", dir, "-out", out)
	cmd.Dir = r.Tree
	_, err = shell.Output(cmd)
	return names, err
}
