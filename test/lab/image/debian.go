package image

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// errNoPackages means that Debian's packages cannot be found out about or fetched.
var errNoPackages = errors.New("packages of Debian are out of reach")

// hostLists is where apt keeps the host's package lists.
const hostLists = "/var/lib/apt/lists"

// leftOut are packages whose scripts would install others. The wanted packages' files do not need
// them.
var leftOut = []string{
	"adduser", "base-files", "debconf", "dpkg", "init-system-helpers", "libpam0g", "passwd", "perl", "perl-base",
	"sysvinit-utils", "usrmerge",
}

// deb is one package's file, as apt-get --print-uris shows it. Its name holds the version; an
// archive with signatures of a newer kind has no hash there.
type deb struct{ File, Hash string }

// selection returns the packages, with what these depend on. As long as the package lists are the
// same it does not ask again.
func (s *store) selection(ctx context.Context, packages []string) ([]deb, error) {
	if debs := s.remembered(packages); debs != nil {
		return debs, nil
	}
	if err := s.prepareApt(); err != nil {
		return nil, err
	}
	debs, err := s.resolve(ctx, packages)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoPackages, err)
	}
	return debs, s.remember(packages, debs)
}

// resolve asks apt. It does so in a folder without packages, or those that are there already would
// be left out.
func (s *store) resolve(ctx context.Context, packages []string) ([]deb, error) {
	out, err := s.apt(ctx, packages, "--print-uris", "-oDir::Cache::archives=none/")
	if err != nil {
		return nil, err
	}
	debs := parseURIs(out)
	if len(debs) == 0 {
		return nil, errors.New("apt-get names no packages")
	}
	return debs, nil
}

// update fetches package lists into the cache, once. It says whether there are new ones.
func (s *store) update(ctx context.Context) bool {
	if s.updated {
		return false
	}
	s.updated = true
	fmt.Fprintln(s.progress, "fetching Debian's package lists (usually 5 s)")
	if _, err := s.run(ctx, "apt-get", append(s.aptOptions(true), "-qq", "update")...); err != nil {
		fmt.Fprintln(s.progress, err)
		return false
	}
	return true
}

// memory is what the cache remembers of a selection, and of what it depends on.
type memory struct {
	Stamp string
	Debs  []deb
}

// remembered returns the last selection for the packages. It returns nil if there is no selection
// or its lists have changed.
func (s *store) remembered(packages []string) []deb {
	text, err := os.ReadFile(s.memoryPath(packages))
	if err != nil {
		return nil
	}
	var m memory
	if json.Unmarshal(text, &m) != nil || m.Stamp != s.stamp() {
		return nil
	}
	return m.Debs
}

func (s *store) remember(packages []string, debs []deb) error {
	text, err := json.Marshal(memory{Stamp: s.stamp(), Debs: debs})
	if err != nil {
		return fmt.Errorf("remembering the packages: %w", err)
	}
	if err := os.WriteFile(s.memoryPath(packages), text, 0o644); err != nil {
		return fmt.Errorf("remembering the packages: %w", err)
	}
	return nil
}

func (s *store) memoryPath(packages []string) string {
	return filepath.Join(s.aptDir(), "selection-"+strings.Join(packages, "-")+".json")
}

// stamp changes with the package lists and with what is left out.
func (s *store) stamp() string {
	text := fmt.Sprintln(s.leftOut)
	for _, dir := range []string{hostLists, filepath.Join(s.aptDir(), "lists")} {
		paths, _ := filepath.Glob(filepath.Join(dir, "*Packages*")) // the pattern is well-formed
		for _, path := range paths {
			if info, err := os.Stat(path); err == nil {
				text += fmt.Sprintln(path, info.Size(), info.ModTime().UnixNano())
			}
		}
	}
	return text
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
		debs = append(debs, deb{File: fields[1], Hash: strings.Join(fields[3:], " ")})
	}
	return debs
}

// source returns the tree that the layer's programs come from, nil if it has none.
func (s *store) source(ctx context.Context, work string, l layerRecipe) (*tree, error) {
	switch {
	case len(l.Packages) == 0:
		return nil, nil
	case s.host:
		return &tree{root: "/"}, nil
	}
	return s.unpack(ctx, work, l.Packages)
}

// unpack fetches packages and unpacks them in work.
func (s *store) unpack(ctx context.Context, work string, packages []string) (*tree, error) {
	debs, err := s.selection(ctx, packages)
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(s.progress, "fetching and unpacking %d Debian packages (usually 1 to 10 s)\n", len(debs))
	if _, err := s.apt(ctx, packages, "--download-only"); err != nil {
		return nil, fmt.Errorf("%w: %w", errNoPackages, err)
	}
	root, err := os.MkdirTemp(work, "root-")
	if err != nil {
		return nil, fmt.Errorf("making a folder for the packages: %w", err)
	}
	return &tree{root: root}, s.extract(ctx, debs, root)
}

// extract unpacks packages that are in the cache, without running their scripts.
func (s *store) extract(ctx context.Context, debs []deb, root string) error {
	for _, d := range debs {
		if _, err := s.run(ctx, "dpkg-deb", "-x", filepath.Join(s.aptDir(), "archives", d.File), root); err != nil {
			return fmt.Errorf("unpacking %s: %w", d.File, err)
		}
	}
	return nil
}

func (s *store) aptDir() string { return filepath.Join(s.dir, "apt") }

// prepareApt makes what apt-get needs to work in the cache: folders, and a list of installed
// packages that holds nothing but leftOut, so that all others are fetched.
func (s *store) prepareApt() error {
	for _, dir := range []string{"archives/partial", "lists/partial"} {
		if err := os.MkdirAll(filepath.Join(s.aptDir(), dir), 0o755); err != nil {
			return fmt.Errorf("making the packages' cache: %w", err)
		}
	}
	var status strings.Builder
	for _, name := range s.leftOut {
		fmt.Fprintf(&status, "Package: %s\nStatus: install ok installed\nVersion: 999\nArchitecture: %s\nMulti-Arch: foreign\nMaintainer: none\nDescription: left out\n\n", name, s.arch)
	}
	if err := os.WriteFile(filepath.Join(s.aptDir(), "status"), []byte(status.String()), 0o644); err != nil {
		return fmt.Errorf("writing the packages' cache: %w", err)
	}
	return nil
}

// apt runs apt-get install for packages, with the options in how. These never install anything on
// this machine.
func (s *store) apt(ctx context.Context, packages []string, how ...string) ([]byte, error) {
	options := append(s.aptOptions(s.ownLists()), "-qq", "-y")
	return s.run(ctx, "apt-get", slices.Concat(options, how, []string{"install"}, packages)...)
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
		"-oAPT::Architecture=" + s.arch,
		"-oAPT::Architectures=" + s.arch,
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
