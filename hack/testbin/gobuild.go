package testbin

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// goBuild builds one main package of a pinned module with the Go toolchain.
type goBuild struct {
	folder  string // below the tree, with the go.mod
	module  string // whose version is the program's
	digest  string // of the files in folder
	pkg     string
	tags    string   // comma-separated
	ldflags []string // besides -s -w
	cgo     bool     // else CGO_ENABLED=0
}

// newGoBuild returns how p is built from src, with the flags of its folder.
func newGoBuild(p goProgram, src source) goBuild {
	b := goBuild{folder: p.folder, module: modules()[p.folder], digest: src.digest, pkg: p.pkg}
	switch p.folder {
	case "kubernetes", "kubeadm", oldestFolder, newestFolder:
		b.ldflags = kubernetesVersionFlags(src.version)
	case "containerd":
		b.tags = "no_btrfs,no_zfs,no_devmapper"
		b.ldflags = []string{"-X", containerdModule + "/version.Version=" + src.version}
	case "runc": // its nsenter is C; static, so that it runs on any root file system
		b.tags = "seccomp,netgo,osusergo"
		b.ldflags = []string{"-X", "main.version=" + strings.TrimPrefix(src.version, "v"), "-extldflags=-static"}
		b.cgo = true
	case "crictl":
		b.ldflags = []string{"-X", crictlModule + "/pkg/version.Version=" + src.version}
	case "cni", "cni-bridge":
		b.ldflags = []string{"-X", cniModule + "/pkg/utils/buildversion.BuildVersion=" + src.version}
	}
	return b
}

// kubernetesVersionFlags stamps a version such as v1.36.3 into what
// `--version` and the API server's /version say. The API server derives its
// emulated version from it, so it must not be left at the module's default.
func kubernetesVersionFlags(version string) []string {
	const pkg = "k8s.io/component-base/version."
	major, rest, _ := strings.Cut(strings.TrimPrefix(version, "v"), ".")
	minor, _, _ := strings.Cut(rest, ".")
	return []string{
		"-X", pkg + "gitVersion=" + version,
		"-X", pkg + "gitMajor=" + major,
		"-X", pkg + "gitMinor=" + minor,
		"-X", pkg + "gitTreeState=clean",
	}
}

// noDWARF has the compilers write no debugging information, which takes a sixth
// of their CPU time. The linker's -w drops it anyway, so the program does the
// same, and this is no part of the identity.
const noDWARF = "-gcflags=all=-dwarf=false"

func (b goBuild) identity() string {
	return strings.Join([]string{"go", b.folder, b.digest, b.pkg, b.tags,
		strings.Join(b.ldflags, " "), strconv.FormatBool(b.cgo)}, "\n")
}

func (b goBuild) build(ctx context.Context, j job) (string, error) {
	dir := filepath.Join(j.tree, b.folder)
	src, err := readSource(dir, b.module)
	if err != nil {
		return "", fmt.Errorf("reading %s: %w", dir, err)
	}
	if src.digest != b.digest {
		return "", fmt.Errorf("%s is not what SOURCES says; run: go generate ./hack/testbin", dir)
	}
	if err := needTools(b.tools()...); err != nil {
		return "", err
	}
	c := command{dir: dir, env: b.env(j.parallel), log: j.log}
	args := []string{"build", "-p", strconv.Itoa(j.parallel), "-o", j.out, "-tags", b.tags, noDWARF,
		"-ldflags", strings.Join(append([]string{"-s", "-w"}, b.ldflags...), " "), b.pkg}
	return src.version, c.run(ctx, "go", args...)
}

// tools are the programs that the build runs.
func (b goBuild) tools() []string {
	if b.cgo {
		return []string{"go", "gcc", "pkg-config"}
	}
	return []string{"go"}
}

// env is the caller's environment with everything set that would change the
// result, or that would let the toolchain write into the tree.
func (b goBuild) env(parallel int) []string {
	cgo := "CGO_ENABLED=0"
	if b.cgo {
		cgo = "CGO_ENABLED=1"
	}
	env := append(os.Environ(), cgo, "GOWORK=off", "GOOS=linux", "GOARCH=amd64", "GOAMD64=v1",
		"GOFLAGS=-mod=readonly -trimpath -buildvcs=false")
	if parallel <= 2 {
		// Where memory is enough for it, a compiler that collects no garbage
		// before it has 2 GiB takes a twelfth less CPU time.
		env = append(env, "GOGC=off", "GOMEMLIMIT=2GiB")
	}
	return env
}
