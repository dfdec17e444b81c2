package testbin

import (
	"context"
	_ "embed" // for the kernel's configuration
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Debian's package of the kernel's sources, the version of it that the recipe pins, and where it is:
// the first release since Linux 6.16, whose user-mode kernel intercepts system calls with seccomp
// instead of ptrace, which makes nodes two to three times as fast.
const (
	kernelPackage = "linux-source-7.2"
	kernelVersion = "7.2.11-1~bpo13+1"
	kernelSuite   = "trixie-backports"
	debianMirror  = "http://deb.debian.org/debian" // where the system's sources name none
)

//go:embed kernel/uml.config
var kernelConfig string

// kernelBuild builds a user-mode kernel from Debian's sources.
type kernelBuild struct {
	version string // of kernelPackage
	config  string // options that are set on top of tinyconfig
}

func kernelRecipe() recipe {
	b := kernelBuild{version: kernelVersion, config: kernelConfig}
	return recipe{
		name: "linux-uml", version: b.fullVersion(kernelVersion), usual: 4*time.Minute + 30*time.Second,
		lane: "kernel", builder: b,
	}
}

// fullVersion joins the package's version with the configuration's digest. Both decide what the
// kernel can do, so a ready-made copy must have the same ones.
func (b kernelBuild) fullVersion(debian string) string {
	return debian + "+config:" + digest12(b.config)
}

func (b kernelBuild) identity() string {
	return "uml\n" + b.version + "\n" + digest12(b.config)
}

func (b kernelBuild) build(ctx context.Context, j job) (string, error) {
	if err := needTools("apt-get", "dpkg-deb", "tar", "xz", "make", "gcc", "flex", "bison", "bc", "strip"); err != nil {
		return "", err
	}
	c := command{dir: j.work, env: kernelEnv(), log: j.log}
	j.phase("downloading " + kernelPackage)
	deb, err := b.download(ctx, c, j)
	if err != nil {
		return "", err
	}
	version, err := exec.CommandContext(ctx, "dpkg-deb", "--field", deb, "Version").Output()
	if err != nil {
		return "", fmt.Errorf("reading the version of %s: %w", deb, err)
	}
	j.phase("unpacking")
	if err := unpackKernel(ctx, c, deb); err != nil {
		return "", err
	}
	c.dir = filepath.Join(j.work, kernelPackage)
	j.phase("building from source")
	if err := b.compile(ctx, c, j); err != nil {
		return "", err
	}
	return b.fullVersion(strings.TrimSpace(string(version))), nil
}

// download gets the pinned version of the source package, else the newest, and returns the package's
// path. It changes none of the system's package lists and needs no root.
func (b kernelBuild) download(ctx context.Context, c command, j job) (string, error) {
	lists, err := fetchLists(ctx, c)
	if err != nil {
		return "", fmt.Errorf("downloading %s: fetching the package lists of %s: %w", kernelPackage, kernelSuite, err)
	}
	pinned := kernelPackage + "=" + b.version
	err = c.run(ctx, "apt-get", slices.Concat(lists, []string{"download", pinned})...)
	if err != nil && ctx.Err() == nil {
		j.phase("the archive no longer has " + pinned + ": downloading the newest " + kernelPackage)
		err = c.run(ctx, "apt-get", slices.Concat(lists, []string{"download", kernelPackage})...)
	}
	if err != nil {
		return "", fmt.Errorf("downloading %s from %s: %w", kernelPackage, kernelSuite, err)
	}
	debs, err := filepath.Glob(filepath.Join(c.dir, kernelPackage+"_*.deb"))
	if err != nil || len(debs) != 1 {
		return "", fmt.Errorf("downloading %s: found %d packages in %s", kernelPackage, len(debs), c.dir)
	}
	return debs[0], nil
}

// fetchLists fetches the package lists of kernelSuite into a folder below c.dir and returns the
// options that make apt-get use them, and them alone.
func fetchLists(ctx context.Context, c command) ([]string, error) {
	apt := filepath.Join(c.dir, "apt")
	state, cache, sources := filepath.Join(apt, "state"), filepath.Join(apt, "cache"), filepath.Join(apt, "sources.list")
	mirror, err := systemMirror(ctx, c)
	if err != nil {
		return nil, err
	}
	err = errors.Join(
		os.MkdirAll(filepath.Join(state, "lists", "partial"), 0o755),
		os.MkdirAll(filepath.Join(cache, "archives", "partial"), 0o755),
		os.WriteFile(sources, []byte("deb "+mirror+" "+kernelSuite+" main\n"), 0o644))
	if err != nil {
		return nil, err
	}
	options := []string{"-o", "Dir::State=" + state, "-o", "Dir::State::status=/var/lib/dpkg/status",
		"-o", "Dir::Cache=" + cache, "-o", "Dir::Etc::sourcelist=" + sources, "-o", "Dir::Etc::sourceparts=-"}
	return options, c.run(ctx, "apt-get", slices.Concat(options, []string{"update"})...)
}

// systemMirror is the mirror of Debian that the system's own sources name first.
func systemMirror(ctx context.Context, c command) (string, error) {
	cmd := exec.CommandContext(ctx, "apt-get", "indextargets", "--format", "$(LABEL) $(REPO_URI)", "Created-By: Packages")
	cmd.Dir, cmd.Env, cmd.Stderr = c.dir, c.env, c.log
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("listing the system's package sources: %w", err)
	}
	for line := range strings.Lines(string(out)) {
		if mirror, debian := strings.CutPrefix(strings.TrimSpace(line), "Debian "); debian {
			return mirror, nil
		}
	}
	return debianMirror, nil
}

// unpackKernel leaves the sources in the folder kernelPackage below c.dir and
// removes the archives.
func unpackKernel(ctx context.Context, c command, deb string) error {
	outer := filepath.Join(c.dir, "deb")
	if err := c.run(ctx, "dpkg-deb", "--extract", deb, outer); err != nil {
		return err
	}
	archive := filepath.Join(outer, "usr", "src", kernelPackage+".tar.xz")
	if err := c.run(ctx, "tar", "-xJf", archive); err != nil {
		return err
	}
	return errors.Join(os.RemoveAll(outer), os.Remove(deb))
}

// compile configures and builds the kernel whose sources are in c.dir, and
// leaves it stripped in j.out.
func (b kernelBuild) compile(ctx context.Context, c command, j job) error {
	config := filepath.Join(j.work, "uml.config")
	if err := os.WriteFile(config, []byte(b.config), 0o644); err != nil {
		return err
	}
	steps := [][]string{
		{"make", "ARCH=um", "tinyconfig"},
		{"scripts/kconfig/merge_config.sh", "-m", ".config", config},
		{"make", "ARCH=um", "olddefconfig"},
		{"make", "ARCH=um", "-j" + strconv.Itoa(j.parallel), "linux"},
		{"strip", "-o", j.out, "linux"},
	}
	for _, s := range steps {
		if s[0] == "scripts/kconfig/merge_config.sh" {
			s[0] = filepath.Join(c.dir, s[0]) // exec looks a relative name up in our folder, not in c.dir
		}
		if err := c.run(ctx, s[0], s[1:]...); err != nil {
			return err
		}
	}
	return nil
}

// kernelEnv holds nothing of the caller's that the kernel's makefiles would
// take as a setting, and makes equal sources give equal kernels.
func kernelEnv() []string {
	env := []string{"LC_ALL=C", "KBUILD_BUILD_USER=tombolo", "KBUILD_BUILD_HOST=testbin",
		"KBUILD_BUILD_TIMESTAMP=2026-01-01", "KBUILD_BUILD_VERSION=1"}
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "http_proxy", "https_proxy", "no_proxy"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// needTools reports the programs that are not there, all at once.
func needTools(names ...string) error {
	var missing []string
	for _, name := range names {
		if _, err := exec.LookPath(name); err != nil {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("missing %s; run: hack/deps.sh build", strings.Join(missing, ", "))
	}
	return nil
}
