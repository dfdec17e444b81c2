package image

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// errNoPackages means that Debian's packages cannot be found out about or fetched.
var errNoPackages = errors.New("Debian's packages are out of reach")

// leftOut are packages whose scripts would install others; the files of those that are wanted need none of them.
var leftOut = []string{
	"adduser", "base-files", "debconf", "dpkg", "init-system-helpers", "iptables", "libpam0g", "passwd", "perl", "perl-base",
	"sysvinit-utils", "usrmerge",
}

// selection is the set of packages that all recipes need, with what they depend on.
type selection struct {
	debs []deb
}

// deb is one package's file, as apt-get --print-uris shows it. Its name holds the version; an archive with
// signatures of a newer kind has no hash there.
type deb struct{ file, hash string }

// names returns the packages with their versions and digests, sorted.
func (s *selection) names() []string {
	var names []string
	for _, d := range s.debs {
		names = append(names, d.file+" "+d.hash)
	}
	slices.Sort(names)
	return names
}

// selection finds out which packages are needed.
func (s *store) selection(ctx context.Context) (*selection, error) {
	if s.deb != nil {
		return s.deb, nil
	}
	if err := s.prepareApt(); err != nil {
		return nil, err
	}
	// In a folder without packages, or those that are there already would be left out.
	list := []string{"--print-uris", "-oDir::Cache::archives=none/"}
	out, err := s.apt(ctx, list...)
	if err != nil { // perhaps there are no package lists yet
		if _, err := s.run(ctx, "apt-get", append(s.aptOptions(true), "-qq", "update")...); err != nil {
			return nil, fmt.Errorf("%w: %w", errNoPackages, err)
		}
		out, err = s.apt(ctx, list...)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoPackages, err)
	}
	s.deb = &selection{debs: parseURIs(out)}
	return s.deb, nil
}

// parseURIs reads lines of the form 'URI' FILE SIZE [HASH].
func parseURIs(out []byte) []deb {
	var debs []deb
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 3 || !strings.HasPrefix(fields[0], "'") {
			continue
		}
		debs = append(debs, deb{file: fields[1], hash: strings.Join(fields[3:], " ")})
	}
	return debs
}

// unpacked returns a tree of the packages' files, or nil if r has no packages.
func (s *store) unpacked(ctx context.Context, r recipe) (*tree, error) {
	if s.tree != nil || !slices.ContainsFunc(r.Layers, func(l layerRecipe) bool { return len(l.Packages) > 0 }) {
		return s.tree, nil
	}
	deb, err := s.selection(ctx)
	if err != nil {
		return nil, err
	}
	start := time.Now()
	fmt.Fprintf(s.progress, "fetching %d Debian packages (35 MB, usually 5 to 20 s)\n", len(deb.debs))
	if _, err := s.apt(ctx, "--download-only"); err != nil {
		return nil, fmt.Errorf("%w: %w", errNoPackages, err)
	}
	root, err := os.MkdirTemp(s.dir, "root-")
	if err != nil {
		return nil, fmt.Errorf("making a folder for the packages: %w", err)
	}
	s.tree = &tree{root: root}
	for _, d := range deb.debs {
		if _, err := s.run(ctx, "dpkg-deb", "-x", filepath.Join(s.aptDir(), "archives", d.file), root); err != nil {
			return nil, fmt.Errorf("unpacking %s: %w", d.file, err)
		}
	}
	fmt.Fprintf(s.progress, "unpacked them after %.0f s\n", time.Since(start).Seconds())
	return s.tree, nil
}

// clean removes the unpacked packages.
func (s *store) clean() {
	if s.tree != nil {
		os.RemoveAll(s.tree.root)
	}
}

func (s *store) aptDir() string { return filepath.Join(s.dir, "apt") }

// prepareApt makes what apt-get needs to work in the cache: folders, and a list of installed packages
// that holds nothing but leftOut, so that all others are fetched.
func (s *store) prepareApt() error {
	for _, dir := range []string{"archives/partial", "lists/partial"} {
		if err := os.MkdirAll(filepath.Join(s.aptDir(), dir), 0o755); err != nil {
			return fmt.Errorf("making the packages' cache: %w", err)
		}
	}
	var status strings.Builder
	for _, name := range leftOut {
		fmt.Fprintf(&status, "Package: %s\nStatus: install ok installed\nVersion: 999\nArchitecture: amd64\nMulti-Arch: foreign\nMaintainer: none\nDescription: left out\n\n", name)
	}
	if err := os.WriteFile(filepath.Join(s.aptDir(), "status"), []byte(status.String()), 0o644); err != nil {
		return fmt.Errorf("writing the packages' cache: %w", err)
	}
	return nil
}

// apt runs apt-get install for all packages in the way that how says, which is none that installs.
func (s *store) apt(ctx context.Context, how ...string) ([]byte, error) {
	options := append(s.aptOptions(s.ownLists()), "-qq", "-y")
	return s.run(ctx, "apt-get", slices.Concat(options, how, []string{"install"}, allPackages())...)
}

// ownLists says whether the cache has package lists of its own: the host had none that would do.
func (s *store) ownLists() bool {
	lists, _ := filepath.Glob(filepath.Join(s.aptDir(), "lists", "*Packages*")) // the pattern is well-formed
	return len(lists) > 0
}

// aptOptions are options with which apt-get writes nothing outside the cache and needs no rights.
func (s *store) aptOptions(ownLists bool) []string {
	options := []string{
		"-oDir::State::status=" + filepath.Join(s.aptDir(), "status"),
		"-oDir::Cache=" + s.aptDir(),
		"-oDebug::NoLocking=1",
		"-oAPT::Sandbox::User=root",
		"-oAPT::Architecture=amd64",
		"-oAPT::Install-Recommends=false",
	}
	if ownLists {
		options = append(options, "-oDir::State::lists="+filepath.Join(s.aptDir(), "lists"))
	}
	return options
}

// run returns the standard output of a program, or an error that holds its standard error.
func (s *store) run(ctx context.Context, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("running %s: %w: %s", name, err, bytes.TrimSpace(stderr.Bytes()))
	}
	return out, nil
}

// allPackages returns the packages that any recipe names, sorted.
func allPackages() []string {
	var packages []string
	for _, r := range append(recipes(), tomboloRecipe("")) {
		for _, l := range r.Layers {
			packages = append(packages, l.Packages...)
		}
	}
	slices.Sort(packages)
	return slices.Compact(packages)
}
