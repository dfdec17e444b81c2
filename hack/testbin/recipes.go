package testbin

import (
	"fmt"
	"time"
)

// The modules that hold the programs, by the folder that pins them.
const (
	k8sModule        = "k8s.io/kubernetes"
	etcdModule       = "go.etcd.io/etcd/server/v3"
	containerdModule = "github.com/containerd/containerd/v2"
	runcModule       = "github.com/opencontainers/runc"
	cniModule        = "github.com/containernetworking/plugins"
	corednsModule    = "github.com/coredns/coredns"
	kindModule       = "sigs.k8s.io/kind"
	crictlModule     = "sigs.k8s.io/cri-tools"
	flannelModule    = "github.com/flannel-io/flannel"
)

// The sets of programs. Each has a folder in the cache.
const (
	// DefaultSet is what the lab and the tests run.
	DefaultSet = ""
	// KindSet is what clusters of kind need besides.
	KindSet = "kind"
	// FlannelSet connects the pods of clusters of kind with flannel.
	FlannelSet = "flannel"
	// OldestSet is DefaultSet with the API server of the oldest Kubernetes that tombolo supports.
	OldestSet = "oldest"
	// NewestSet is DefaultSet with the API server of the newest Kubernetes.
	NewestSet = "newest"
)

// The folders that pin the API servers of OldestSet and NewestSet.
const (
	oldestFolder = "kubernetes-oldest"
	newestFolder = "kubernetes-newest"
)

// modules returns, for each folder with a go.mod, the module whose version is
// the version of the programs built from it.
func modules() map[string]string {
	return map[string]string{
		"kubernetes": k8sModule,
		"etcd":       etcdModule,
		"containerd": containerdModule,
		"runc":       runcModule,
		"cni":        cniModule,
		"cni-bridge": cniModule,
		"coredns":    corednsModule,
		"kind":       kindModule,
		"crictl":     crictlModule,
		"flannel":    flannelModule,
		"kubeadm":    k8sModule, // with the pins of kubernetes, and what only kubeadm imports
		oldestFolder: k8sModule,
		newestFolder: k8sModule,
	}
}

// goProgram is one line of the table of programs built by the Go toolchain.
type goProgram struct {
	name   string
	folder string // a key of modules
	pkg    string // import path of its main package, "." for one in the folder
	usual  time.Duration
}

// goPrograms lists the small ones first, so that a broken toolchain or network
// shows within seconds; within Kubernetes the largest first, since the others
// share most of what it compiles.
func goPrograms() []goProgram {
	return []goProgram{
		{"runc", "runc", runcModule, 25 * time.Second}, // and the standard library with it
		{"cni-host-local", "cni", cniModule + "/plugins/ipam/host-local", 8 * time.Second},
		{"cni-loopback", "cni", cniModule + "/plugins/main/loopback", 2 * time.Second},
		{"cni-portmap", "cni", cniModule + "/plugins/meta/portmap", 2 * time.Second},
		{"cni-ptp", "cni", cniModule + "/plugins/main/ptp", 2 * time.Second},
		{"etcd", "etcd", etcdModule, 30 * time.Second},
		{"containerd", "containerd", containerdModule + "/cmd/containerd", 30 * time.Second},
		{"containerd-shim-runc-v2", "containerd", containerdModule + "/cmd/containerd-shim-runc-v2", 5 * time.Second},
		{"ctr", "containerd", containerdModule + "/cmd/ctr", 5 * time.Second},
		{"coredns", "coredns", ".", 45 * time.Second}, // a main of ours, see there
		{"kube-apiserver", "kubernetes", k8sModule + "/cmd/kube-apiserver", 4 * time.Minute},
		{"kube-controller-manager", "kubernetes", k8sModule + "/cmd/kube-controller-manager", time.Minute},
		{"kube-scheduler", "kubernetes", k8sModule + "/cmd/kube-scheduler", 5 * time.Second},
		{"kube-proxy", "kubernetes", k8sModule + "/cmd/kube-proxy", 10 * time.Second},
		{"kubelet", "kubernetes", k8sModule + "/cmd/kubelet", 20 * time.Second},
		{"kubectl", "kubernetes", k8sModule + "/cmd/kubectl", 25 * time.Second},
	}
}

// kindPrograms is the table of KindSet.
func kindPrograms() []goProgram {
	return []goProgram{
		{"kind", "kind", kindModule, 30 * time.Second}, // and the standard library with it
		{"crictl", "crictl", crictlModule + "/cmd/crictl", time.Minute},
		{"kubeadm", "kubeadm", k8sModule + "/cmd/kubeadm", 2 * time.Minute},
	}
}

// flannelPrograms is the table of FlannelSet.
func flannelPrograms() []goProgram {
	return []goProgram{
		{"cni-bridge", "cni-bridge", cniModule + "/plugins/main/bridge", 8 * time.Second},
		{"flanneld", "flannel", ".", time.Minute}, // a main of ours, see there
	}
}

// programsWithAPIServer is goPrograms with the API server that folder pins.
func programsWithAPIServer(folder string) []goProgram {
	programs := goPrograms()
	for i, p := range programs {
		if p.name == "kube-apiserver" {
			programs[i].folder = folder
		}
	}
	return programs
}

// pinnedRecipes returns the recipes of a set's programs, in the order in which
// they are best built. The error means that SOURCES is damaged, or that there
// is no such set.
func pinnedRecipes(set string) ([]recipe, error) {
	var programs []goProgram
	switch set {
	case DefaultSet:
		programs = goPrograms()
	case OldestSet:
		programs = programsWithAPIServer(oldestFolder)
	case NewestSet:
		programs = programsWithAPIServer(newestFolder)
	case KindSet:
		return goRecipes(kindPrograms())
	case FlannelSet:
		return goRecipes(flannelPrograms())
	default:
		return nil, fmt.Errorf("no set of programs is called %q; there are %s, %s, %s and %s", set, KindSet, FlannelSet, OldestSet, NewestSet)
	}
	recipes, err := goRecipes(programs)
	return append(recipes, kernelRecipe()), err
}

func goRecipes(programs []goProgram) ([]recipe, error) {
	sources, err := parseSources(pinnedSources)
	if err != nil {
		return nil, fmt.Errorf("reading SOURCES: %w", err)
	}
	var recipes []recipe
	for _, p := range programs {
		src, ok := sources[p.folder]
		if !ok {
			return nil, fmt.Errorf("reading SOURCES: no line for %s", p.folder)
		}
		recipes = append(recipes, recipe{
			name: p.name, version: src.version, usual: p.usual, lane: "go",
			builder: newGoBuild(p, src),
		})
	}
	return recipes, nil
}
