// Package node makes the image of a kind node from Debian packages and the programs of hack/testbin,
// for machines that cannot pull kindest/node. It owns what is in the image; it starts no cluster.
package node

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/tombolo-net/tombolo/test/harness/shell"
	"github.com/tombolo-net/tombolo/test/lab/image"
)

// Repository is the name of the image; its tags are the version of Kubernetes and a key.
const Repository = "tombolo-net/kind-node"

// Version is that of the programs of Kubernetes in the image: hack/testbin pins it.
const Version = "v1.36.3"

// packages are what kind, systemd, the kubelet and kube-proxy's rules need in a node.
var packages = []string{
	"base-files", "bash", "bsdutils", "conntrack", "coreutils", "curl", "dash", "dbus", "diffutils", "ethtool", "findutils", "grep",
	"gzip", "hostname", "iproute2", "ipset", "iptables", "kmod", "libc-bin", "mawk", "mount", "nftables", "procps", "sed", "systemd",
	"systemd-sysv", "tar", "util-linux",
}

// Config says what an image is made of, and where.
type Config struct {
	Cache    string    // required: what may be kept
	Bin      string    // required: testbin's default set
	KindBin  string    // required: testbin's set for kind
	Progress io.Writer // required
}

// Ensure returns the name of the node image in Docker, which it makes if it is not there. Its tag
// changes with everything that it is made of. Images that it replaces are removed.
func Ensure(ctx context.Context, cfg Config) (string, error) {
	root, err := image.NewRoot(ctx, filepath.Join(cfg.Cache, "node"), cfg.Progress, packages...)
	if err != nil {
		return "", err
	}
	images, err := archives(ctx, cfg)
	if err != nil {
		return "", err
	}
	ref, err := name(cfg, root, images)
	if err != nil {
		return "", err
	}
	if _, err := docker(ctx, "image", "inspect", ref); err == nil {
		return ref, nil
	}
	if os.Geteuid() != 0 {
		return "", errors.New("building a node image needs root: run this as root, or name an image that Docker can pull, as in `make kind-up KIND_IMAGE=kindest/node:" + Version + "`")
	}
	fmt.Fprintln(cfg.Progress, "building the node image (usually 1 to 2 minutes, once)")
	work, err := os.MkdirTemp(cfg.Cache, "build-")
	if err != nil {
		return "", fmt.Errorf("making a folder to build in: %w", err)
	}
	defer os.RemoveAll(work)
	if err := build(ctx, cfg, root, images, work); err != nil {
		return "", fmt.Errorf("building the node image: %w", err)
	}
	if ref, err = name(cfg, root, images); err != nil { // newer packages may have been found
		return "", err
	}
	if err := importRoot(ctx, filepath.Join(work, "root"), ref); err != nil {
		return "", fmt.Errorf("importing the node image: %w", err)
	}
	return ref, prune(ctx, ref)
}

// name is the image's, with a key of all that it is made of.
func name(cfg Config, root *image.Root, images []string) (string, error) {
	debs, err := root.Key()
	if err != nil {
		return "", err
	}
	// The names of testbin's folders and of the images' archives hold the keys of what is in them.
	h := sha256.New()
	for _, path := range images {
		fmt.Fprintln(h, filepath.Base(path))
	}
	fmt.Fprintln(h, debs, filepath.Base(cfg.Bin), filepath.Base(cfg.KindBin), links())
	err = fs.WalkDir(files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := files.ReadFile(path)
		fmt.Fprintln(h, path, placed[filepath.Base(path)], string(text))
		return err
	})
	if err != nil {
		return "", fmt.Errorf("reading the node's files: %w", err)
	}
	return Repository + ":" + Version + "-" + hex.EncodeToString(h.Sum(nil))[:12], nil
}

// build makes the node's root in work/root.
func build(ctx context.Context, cfg Config, debian *image.Root, images []string, work string) error {
	root := filepath.Join(work, "root")
	if err := debian.Unpack(ctx, root); err != nil {
		return err
	}
	if err := place(root, Version); err != nil {
		return fmt.Errorf("writing the node's files: %w", err)
	}
	for from, to := range programs(cfg) {
		if err := copyProgram(from, filepath.Join(root, to)); err != nil {
			return fmt.Errorf("taking %s: %w", from, err)
		}
	}
	return importImages(ctx, cfg, filepath.Join(work, "import"), filepath.Join(root, "var/lib/containerd"), images)
}

// programs are those of testbin, with their paths in the node.
func programs(cfg Config) map[string]string {
	all := map[string]string{
		filepath.Join(cfg.KindBin, "kubeadm"): "/usr/bin/kubeadm",
		filepath.Join(cfg.KindBin, "crictl"):  "/usr/local/bin/crictl",
		filepath.Join(cfg.Bin, "runc"):        "/usr/local/sbin/runc",
	}
	for _, name := range []string{"kubelet", "kubectl"} {
		all[filepath.Join(cfg.Bin, name)] = "/usr/bin/" + name
	}
	for _, name := range []string{"containerd", "containerd-shim-runc-v2", "ctr"} {
		all[filepath.Join(cfg.Bin, name)] = "/usr/local/bin/" + name
	}
	for _, name := range []string{"host-local", "loopback", "portmap", "ptp"} {
		all[filepath.Join(cfg.Bin, "cni-"+name)] = "/opt/cni/bin/" + name
	}
	return all
}

// importRoot makes a Docker image of a root file system.
func importRoot(ctx context.Context, root, ref string) error {
	tar := exec.CommandContext(ctx, "tar", "-C", root, "--numeric-owner", "-c", ".")
	load := exec.CommandContext(ctx, "docker", "import",
		"--change", `ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]`,
		"--change", "ENV container=docker",
		"--change", "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"-", ref)
	var complaints bytes.Buffer
	tar.Stderr, load.Stderr = &complaints, &complaints
	var err error
	if load.Stdin, err = tar.StdoutPipe(); err != nil {
		return err
	}
	if err := tar.Start(); err != nil {
		return fmt.Errorf("running tar: %w", err)
	}
	err = load.Run()
	if err := errors.Join(err, tar.Wait()); err != nil {
		return fmt.Errorf("running tar and docker import: %w: %s", err, bytes.TrimSpace(complaints.Bytes()))
	}
	return nil
}

// prune removes the node images that ref replaces, but those that are in use.
func prune(ctx context.Context, ref string) error {
	out, err := docker(ctx, "images", "--format", "{{.Repository}}:{{.Tag}}", Repository)
	if err != nil {
		return err
	}
	for _, old := range strings.Fields(out) {
		if old != ref {
			_, _ = docker(ctx, "image", "rm", old) // refused while a container uses it
		}
	}
	return nil
}

// docker runs Docker's client and returns what it printed.
func docker(ctx context.Context, args ...string) (string, error) {
	return shell.Run(ctx, "", "docker", args...)
}
