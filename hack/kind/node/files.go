package node

import (
	"bytes"
	"embed"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

//go:embed files
var files embed.FS

// placed says where each file goes, and with which mode.
var placed = map[string]struct {
	to   string
	mode fs.FileMode
}{
	"entrypoint":           {"/usr/local/bin/entrypoint", 0o755},
	"kubelet-cgroups":      {"/kind/bin/kubelet-cgroups", 0o755},
	"containerd.service":   {"/etc/systemd/system/containerd.service", 0o644},
	"containerd.toml":      {"/etc/containerd/config.toml", 0o644},
	"kubelet.service":      {"/etc/systemd/system/kubelet.service", 0o644},
	"kubelet.slice":        {"/etc/systemd/system/kubelet.slice", 0o644},
	"sysctl.conf":          {"/etc/sysctl.d/10-kind.conf", 0o644},
	"passwd":               {"/etc/passwd", 0o644},
	"group":                {"/etc/group", 0o644},
	"default-storage.yaml": {"/kind/manifests/default-storage.yaml", 0o644},
}

// masked are units that a container has no use for, or that would reach the host.
var masked = []string{
	"systemd-udevd.service", "systemd-udevd-control.socket", "systemd-udevd-kernel.socket", "systemd-udev-trigger.service",
	"systemd-logind.service", "getty.target", "console-getty.service", "systemd-remount-fs.service",
	"dev-hugepages.mount", "sys-fs-fuse-connections.mount", "sys-kernel-config.mount", "sys-kernel-debug.mount",
	"sys-kernel-tracing.mount", "systemd-binfmt.service", "systemd-firstboot.service", "systemd-resolved.service",
	"systemd-timesyncd.service", "e2scrub_all.timer", "fstrim.timer",
}

// links are what the packages' scripts would have made, and the units that start.
func links() map[string]string {
	all := map[string]string{
		"/usr/bin/awk":                       "mawk",
		"/var/run":                           "/run",
		"/var/lock":                          "/run/lock",
		"/etc/systemd/system/default.target": "/lib/systemd/system/multi-user.target",
	}
	for _, name := range []string{"containerd.service", "kubelet.service"} {
		all["/etc/systemd/system/multi-user.target.wants/"+name] = "/etc/systemd/system/" + name
	}
	for _, name := range masked {
		all["/etc/systemd/system/"+name] = "/dev/null"
	}
	for _, family := range []string{"iptables", "ip6tables"} {
		for _, name := range []string{family, family + "-save", family + "-restore"} {
			all["/usr/sbin/"+name] = "xtables-nft-multi"
		}
	}
	return all
}

// place writes our own files and links into the node's root.
func place(root, version string) error {
	for name, p := range placed {
		text, err := files.ReadFile("files/" + name)
		if err != nil {
			return err
		}
		if err := write(filepath.Join(root, p.to), bytes.NewReader(text), p.mode); err != nil {
			return err
		}
	}
	made := map[string]string{
		"/kind/version":                   version,
		"/etc/crictl.yaml":                "runtime-endpoint: unix:///run/containerd/containerd.sock\n",
		"/etc/nsswitch.conf":              "passwd: files\ngroup: files\nhosts: files dns\n",
		"/etc/systemd/journald.conf":      "[Journal]\nReadKMsg=no\n",
		"/kind/manifests/.keep":           "",
		"/etc/kubernetes/manifests/.keep": "",
		"/etc/cni/net.d/.keep":            "",
	}
	for to, text := range made {
		if err := write(filepath.Join(root, to), strings.NewReader(text), 0o644); err != nil {
			return err
		}
	}
	for at, target := range links() {
		if err := link(target, filepath.Join(root, at)); err != nil {
			return err
		}
	}
	return nil
}

// link makes a symbolic link, in the place of what is there.
func link(target, at string) error {
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return err
	}
	if err := os.RemoveAll(at); err != nil {
		return err
	}
	return os.Symlink(target, at)
}

// copyProgram copies a program of the host to a path of the node.
func copyProgram(from, to string) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	return write(to, f, 0o755)
}

func write(to string, content io.Reader, mode fs.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	f, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, content); err != nil {
		f.Close()
		return fmt.Errorf("writing %s: %w", to, err)
	}
	return f.Close()
}
