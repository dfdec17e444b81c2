// Package testbin owns the programs that tombolo's tests and its lab run but
// do not contain: a Kubernetes control plane and node, etcd, containerd, runc,
// the reference CNI plugins, CoreDNS and a user-mode Linux kernel. It builds
// each from pinned sources, keeps them in a cache outside the tree, and reports
// where they are. It does not start any of them, and it does not own the
// packages of the distribution that they need (hack/deps.sh does).
//
// Every folder below this one with a go.mod pins one source; kernel/ holds the
// configuration of the user-mode kernel. The file SOURCES repeats their
// versions and digests, so that a program compiled with this package knows
// which build it wants without the tree at hand.
package testbin

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// CacheDir returns the absolute path of the folder that everything tombolo
// keeps outside the tree lives in: $TOMBOLO_CACHE, else "tombolo" in the
// user's cache folder. The folder need not exist. The error says that neither
// $TOMBOLO_CACHE nor a home is set.
func CacheDir() (string, error) {
	if dir := os.Getenv("TOMBOLO_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("finding the cache folder (set TOMBOLO_CACHE): %w", err)
	}
	return filepath.Join(dir, "tombolo"), nil
}

// Dir returns the absolute path of the folder that holds every program under
// its plain name: etcd, kube-apiserver, kube-controller-manager,
// kube-scheduler, kube-proxy, kubelet, kubectl, containerd,
// containerd-shim-runc-v2, ctr, runc, cni-ptp, cni-host-local, cni-loopback,
// cni-portmap, coredns, linux-uml. With TOMBOLO_KUBERNETES=oldest or newest
// it is that of OldestSet or NewestSet.
//
// It compares each one's size and modification time with those of the file
// whose SHA-256 Ensure verified last, which takes about a millisecond. If a
// program is missing or differs, the error names it and says what to run. Dir
// writes nothing and is safe for concurrent use, also with a running Ensure.
func Dir() (string, error) { return SetDir(os.Getenv("TOMBOLO_KUBERNETES")) }

// SetDir is Dir for one set of programs. KindSet's are kind, crictl and
// kubeadm, FlannelSet's cni-bridge and flanneld.
func SetDir(set string) (string, error) {
	cache, err := CacheDir()
	if err != nil {
		return "", err
	}
	recipes, err := pinnedRecipes(set)
	if err != nil {
		return "", err
	}
	s := newStore(cache, recipes)
	missing, err := s.unverified()
	if err != nil {
		return "", err
	}
	if len(missing) > 0 {
		return "", fmt.Errorf("test binaries missing or changed in %s: %s; run: %s",
			s.setDir, strings.Join(missing, ", "), remedy(set))
	}
	return s.setDir, nil
}

// remedy is the command that makes the set's programs.
func remedy(set string) string {
	if set == DefaultSet {
		return "make testbin"
	}
	return "go run ./hack/testbin/cmd -set " + set
}
