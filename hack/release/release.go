// Package release makes what a release of tombolo consists of, from one commit: the manifests of a
// member and of the hub, the Helm chart, the image for each architecture, archives of the kubectl
// plugin with a manifest for krew, lists of what the programs are made of and of the known
// vulnerabilities in that, the section of the changelog, and the checksums of all of it. It publishes
// nothing.
//
// The same commit and version give the same bytes, in any folder and at any time, but for the list
// of known vulnerabilities, which grows.
package release

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Release is one release in the making.
type Release struct {
	Version string    // required: vX.Y.Z, or vX.Y.Z-rc.1
	Time    time.Time // required: of every file in an archive; the commit's
	Tree    string    // required: the folder of the sources, which is only read
	Out     string    // required: the folder that gets the artefacts; it is made
	SBOM    string    // required: path of the program cyclonedx-gomod

	Govulncheck string // required: path of the program
	VulnDB      string // optional: see vuln.Config
}

// part makes some of the artefacts and returns the names of the files that it wrote to Out.
type part struct {
	name string
	make func(context.Context, Release) ([]string, error)
}

// parts are in the order in which they are made: what fails soonest comes first.
func parts() []part {
	return []part{
		{"changelog", changelogPart},
		{"image", imagePart}, // before what names it by its digest
		{"manifests", manifestsPart},
		{"Helm chart", chartPart},
		{"list of vulnerabilities", vulnPart},
		{"kubectl plugin", pluginPart},
		{"lists of modules", sbomPart},
	}
}

// sums is the file with the SHA-256 of every artefact, as `sha256sum --check` reads it.
const sums = "SHA256SUMS"

// Make makes all artefacts, calls say before each part, and ends with the checksums. The error names
// the part that failed. What is in Out beside the artefacts stays and has no checksum.
func (r Release) Make(ctx context.Context, say func(part string)) error {
	if err := checkVersion(r.Version); err != nil {
		return err
	}
	if err := os.MkdirAll(r.Out, 0o755); err != nil {
		return err
	}
	var names []string
	for _, p := range parts() {
		say(p.name)
		made, err := p.make(ctx, r)
		if err != nil {
			return fmt.Errorf("making %s: %w", p.name, err)
		}
		names = append(names, made...)
	}
	say(sums)
	return writeSums(r.Out, names)
}

// version is a semantic version with the v that git tags and Go modules have.
var version = regexp.MustCompile(`^v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$`)

func checkVersion(v string) error {
	if !version.MatchString(v) {
		return fmt.Errorf("the version %q is not of the form vX.Y.Z or vX.Y.Z-rc.1: say make release VERSION=v1.2.3", v)
	}
	return nil
}

// prerelease says whether the version has a suffix such as -rc.1.
func prerelease(v string) bool { return strings.Contains(v, "-") }

// writeSums writes the checksums of these files of the folder, sorted by name.
func writeSums(dir string, names []string) error {
	var lines strings.Builder
	for _, name := range slices.Sorted(slices.Values(names)) {
		sum, err := fileSum(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		fmt.Fprintf(&lines, "%s  %s\n", sum, name)
	}
	return os.WriteFile(filepath.Join(dir, sums), []byte(lines.String()), 0o644)
}

// fileSum is a file's SHA-256 in hex.
func fileSum(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}
