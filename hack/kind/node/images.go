package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/tombolo-net/tombolo/test/harness/shell"
	"github.com/tombolo-net/tombolo/test/lab/image"
)

// imageNames are the names under which kubeadm looks for its images, by their last part.
func imageNames(ctx context.Context, cfg Config) (map[string]string, error) {
	out, err := shell.Run(ctx, "", filepath.Join(cfg.KindBin, "kubeadm"), "config", "images", "list", "--kubernetes-version", Version)
	if err != nil {
		return nil, err
	}
	names := map[string]string{}
	for _, ref := range strings.Fields(out) {
		short, _, _ := strings.Cut(path.Base(ref), ":")
		names[short] = ref
	}
	for _, want := range []string{"etcd", "coredns", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy"} {
		if names[want] == "" {
			return nil, fmt.Errorf("kubeadm names no image %s: %s", want, out)
		}
	}
	return names, nil
}

// archives makes the images of a control plane, whatever the versions that kubeadm asks for. It
// returns their paths, sorted.
func archives(ctx context.Context, cfg Config) ([]string, error) {
	refs, err := imageNames(ctx, cfg)
	if err != nil {
		return nil, err
	}
	cache := filepath.Join(cfg.Cache, "images")
	pause, err := image.Ensure(ctx, cache, cfg.Progress, image.Pause)
	if err != nil {
		return nil, err
	}
	paths := []string{pause[0].Path}
	for name, to := range map[string]string{
		"etcd": "/usr/local/bin/etcd", "coredns": "/coredns",
		"kube-apiserver":          "/usr/local/bin/kube-apiserver",
		"kube-controller-manager": "/usr/local/bin/kube-controller-manager",
		"kube-scheduler":          "/usr/local/bin/kube-scheduler",
	} {
		archive, err := image.Static(ctx, cache, refs[name], filepath.Join(cfg.Bin, name), to)
		if err != nil {
			return nil, err
		}
		paths = append(paths, archive.Path)
	}
	proxy, err := image.KubeProxy(ctx, cache, refs["kube-proxy"], filepath.Join(cfg.Bin, "kube-proxy"))
	if err != nil {
		return nil, err
	}
	paths = append(paths, proxy.Path)
	slices.Sort(paths)
	return paths, nil
}

// importConfig is that of a containerd that does nothing but take images.
const importConfig = `version = 3
root = '%s'
state = '%s/state'
disabled_plugins = ['io.containerd.grpc.v1.cri', 'io.containerd.cri.v1.images', 'io.containerd.cri.v1.runtime', 'io.containerd.internal.v1.opt', 'io.containerd.nri.v1.nri']
[grpc]
address = '%s/sock'
`

// importImages puts images into the root folder of a node's containerd. They are unpacked when they
// are first used.
func importImages(ctx context.Context, cfg Config, work, root string, archives []string) (err error) {
	if err := os.MkdirAll(work, 0o755); err != nil {
		return err
	}
	config := filepath.Join(work, "config.toml")
	if err := os.WriteFile(config, fmt.Appendf(nil, importConfig, root, work, work), 0o644); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(work, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	server := exec.CommandContext(ctx, filepath.Join(cfg.Bin, "containerd"), "--config", config)
	server.Stdout, server.Stderr = log, log
	server.Cancel = func() error { return server.Process.Signal(syscall.SIGTERM) }
	if err := server.Start(); err != nil {
		return fmt.Errorf("starting containerd: %w", err)
	}
	defer func() {
		_ = server.Process.Signal(syscall.SIGTERM) // it may have ended
		_ = server.Wait()                          // says that it was ended
	}()
	ctr := func(args ...string) (string, error) {
		return shell.Run(ctx, "", filepath.Join(cfg.Bin, "ctr"), append([]string{"--address", filepath.Join(work, "sock"), "--namespace", "k8s.io"}, args...)...)
	}
	if _, err := shell.Eventually(ctx, 20*time.Second, func(context.Context) (string, error) { return ctr("version") }); err != nil {
		text, _ := os.ReadFile(log.Name())
		return errors.Join(fmt.Errorf("waiting for containerd: %w", err), fmt.Errorf("its log: %s", text))
	}
	for _, archive := range archives {
		if _, err := ctr("images", "import", "--no-unpack", archive); err != nil {
			return err
		}
	}
	return nil
}
