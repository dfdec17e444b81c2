package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/tombolo-net/tombolo/test/lab/cni"
)

// Where components are configured and listen.
const (
	containerdConfig = stateDir + "/containerd.toml"
	containerdSocket = "/run/containerd/containerd.sock"
	registries       = stateDir + "/registries"
	kubeletConfig    = stateDir + "/kubelet.json"
	proxyConfig      = stateDir + "/kube-proxy.json"
	cniBin           = "/opt/cni/bin"
	cniConfig        = "/etc/cni/net.d/10-lab.conflist"
)

// writeComponentFiles writes every component's configuration, and gives the CNI
// plugins the plain names by which configurations refer to them.
func writeComponentFiles(cfg Config) error {
	errs := []error{
		writeFile(containerdConfig, containerdTOML(cfg)),
		writeJSON(kubeletConfig, kubeletConfiguration(cfg)),
		writeJSON(proxyConfig, proxyConfiguration(cfg)),
	}
	if cfg.Mirror != "" {
		errs = append(errs, writeFile(filepath.Join(registries, "_default", "hosts.toml"), mirrorTOML(cfg.Mirror)))
	}
	for _, plugin := range []string{"ptp", "host-local", "loopback", "portmap"} {
		errs = append(errs, os.Symlink(filepath.Join(cfg.Bin, "cni-"+plugin), filepath.Join(cniBin, plugin)))
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("finding lab's own program: %w", err)
	}
	errs = append(errs, os.Symlink(self, filepath.Join(cniBin, cni.Name)))
	return errors.Join(errs...)
}

func writeJSON(path string, v any) error {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encoding %s: %w", path, err)
	}
	return writeFile(path, string(text))
}

func containerd(cfg Config) component {
	return component{
		name:  "containerd",
		path:  filepath.Join(cfg.Bin, "containerd"),
		args:  []string{"--config", containerdConfig, "--log-level", "info"},
		ready: containerdUp,
	}
}

// containerdUp returns nil once containerd accepts connections.
func containerdUp(ctx context.Context) error {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", containerdSocket)
	if err != nil {
		return err
	}
	return conn.Close()
}

// containerdTOML configures containerd 2: what nobody needs here is left out,
// since each plugin costs time at the start.
func containerdTOML(cfg Config) string {
	return fmt.Sprintf(`version = 3
disabled_plugins = [
  "io.containerd.differ.v1.erofs", "io.containerd.internal.v1.tracing",
  "io.containerd.nri.v1.nri",
  "io.containerd.snapshotter.v1.blockfile", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.erofs",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.tracing.processor.v1.otlp",
  "io.containerd.mount-handler.v1.erofs",
]
[plugins.'io.containerd.cri.v1.images']
  snapshotter = "overlayfs"
  [plugins.'io.containerd.cri.v1.images'.pinned_images]
    sandbox = %q
  [plugins.'io.containerd.cri.v1.images'.registry]
    config_path = %q
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = [%q]
    conf_dir = %q
  [plugins.'io.containerd.cri.v1.runtime'.containerd]
    default_runtime_name = "runc"
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
        BinaryName = %q
        SystemdCgroup = false
`, cfg.SandboxImage, registries, cniBin, filepath.Dir(cniConfig), filepath.Join(cfg.Bin, "runc"))
}

// mirrorTOML makes one registry stand for all others, and nobody else be asked, see
// https://github.com/containerd/containerd/blob/main/docs/hosts.md.
func mirrorTOML(url string) string {
	return fmt.Sprintf("server = %q\n[host.%q]\n  capabilities = [\"pull\", \"resolve\"]\n", url, url)
}

// importImages gives containerd the archives of cfg.
func importImages(ctx context.Context, cfg Config) error {
	if err := poll(ctx, containerdUp); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(2)
	for _, archive := range cfg.Images {
		g.Go(func() error { return importImage(ctx, cfg, archive) })
	}
	return g.Wait()
}

// importImage gives containerd an archive on the host.
func importImage(ctx context.Context, cfg Config, archive string) error {
	path := filepath.Join(hostRoot, archive)
	cmd := exec.CommandContext(ctx, filepath.Join(cfg.Bin, "ctr"), "-n", "k8s.io", "images", "import", "--local", path)
	cmd.Env = componentEnv(cfg)
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("importing %s: %w\n%s", archive, err, text)
	}
	return nil
}

func kubelet(cfg Config) component {
	var addresses []string
	for _, a := range cfg.Addresses {
		addresses = append(addresses, a.Addr().String())
	}
	return component{
		name:   "kubelet",
		before: func(ctx context.Context) error { return poll(ctx, containerdUp) },
		ready:  httpUp("http://127.0.0.1:10248/healthz"),
		path:   filepath.Join(cfg.Bin, "kubelet"),
		args: []string{
			"--config=" + kubeletConfig,
			"--kubeconfig=" + cfg.path(KubeletKubeconfig),
			"--hostname-override=" + cfg.Name,
			"--node-ip=" + strings.Join(addresses, ","),
			"--node-labels=" + joinLabels(cfg.Labels),
			"--v=2",
		},
	}
}

// httpUp returns a check that url answers with status 200.
func httpUp(url string) func(context.Context) error {
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", url, resp.Status)
		}
		return nil
	}
}

func joinLabels(labels map[string]string) string {
	var pairs []string
	for key, value := range labels {
		pairs = append(pairs, key+"="+value)
	}
	slices.Sort(pairs)
	return strings.Join(pairs, ",")
}

type object = map[string]any

// kubeletConfiguration returns the KubeletConfiguration (kubelet.config.k8s.io).
// Nothing is evicted and no image collected: the node's disk is its memory.
func kubeletConfiguration(cfg Config) object {
	return object{
		"apiVersion":               "kubelet.config.k8s.io/v1beta1",
		"kind":                     "KubeletConfiguration",
		"authentication":           object{"anonymous": object{"enabled": false}, "webhook": object{"enabled": true}, "x509": object{"clientCAFile": cfg.path(ClientCA)}},
		"authorization":            object{"mode": "Webhook"},
		"tlsCertFile":              cfg.path(ServingCert),
		"tlsPrivateKeyFile":        cfg.path(ServingKey),
		"containerRuntimeEndpoint": "unix://" + containerdSocket,
		"cgroupDriver":             "cgroupfs",
		"cgroupsPerQOS":            false,
		"enforceNodeAllocatable":   []string{},
		"failSwapOn":               false,
		"evictionHard": object{
			"memory.available": "0%", "nodefs.available": "0%", "nodefs.inodesFree": "0%",
			"imagefs.available": "0%", "imagefs.inodesFree": "0%",
		},
		"imageGCHighThresholdPercent":   100,
		"localStorageCapacityIsolation": false,
		"makeIPTablesUtilChains":        false,
		"clusterDomain":                 cfg.ClusterDomain,
		"clusterDNS":                    texts(cfg.ClusterDNS),
		"resolvConf":                    "/etc/resolv.conf",
		"runtimeRequestTimeout":         "5m",
	}
}

func texts[T interface{ String() string }](values []T) []string {
	out := make([]string, 0, len(values))
	for _, v := range values {
		out = append(out, v.String())
	}
	return out
}

func kubeProxy(cfg Config) component {
	return component{
		name:  "kube-proxy",
		ready: httpUp("http://127.0.0.1:10249/healthz"),
		path:  filepath.Join(cfg.Bin, "kube-proxy"),
		args:  []string{"--config=" + proxyConfig, "--hostname-override=" + cfg.Name, "--v=2"},
	}
}

// proxyConfiguration returns the KubeProxyConfiguration (kubeproxy.config.k8s.io).
func proxyConfiguration(cfg Config) object {
	return object{
		"apiVersion":       "kubeproxy.config.k8s.io/v1alpha1",
		"kind":             "KubeProxyConfiguration",
		"mode":             cfg.ProxyMode,
		"clusterCIDR":      strings.Join(texts(cfg.PodCIDRs), ","),
		"detectLocalMode":  "ClusterCIDR",
		"clientConnection": object{"kubeconfig": cfg.path(ProxyKubeconfig)},
		"conntrack":        object{"maxPerCore": 0, "min": 0},
		"ipvs":             object{"excludeCIDRs": texts[netip.Prefix](cfg.ExcludeCIDRs)},
	}
}
