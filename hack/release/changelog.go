package release

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const (
	changelog  = "CHANGELOG.md"
	unreleased = "Unreleased"
)

// changelogPart writes the release's section of the changelog, which is what its page says.
func changelogPart(_ context.Context, r Release) ([]string, error) {
	text, err := os.ReadFile(filepath.Join(r.Tree, changelog))
	if err != nil {
		return nil, err
	}
	section, err := changesOf(string(text), r.Version)
	if err != nil {
		return nil, err
	}
	return []string{changelog}, os.WriteFile(filepath.Join(r.Out, changelog), []byte(section), 0o644)
}

// changesOf returns the section of a version under its heading: "## v1.2.3 - 2026-12-01". A
// pre-release without a section has that of what is not released yet. Both must say something.
func changesOf(text, version string) (string, error) {
	sections := sectionsOf(text)
	body, ok := sections[version]
	if !ok && prerelease(version) {
		body, ok = sections[unreleased]
	}
	if !ok {
		return "", fmt.Errorf("%s has no section %q: rename its section %q and add the date", changelog, "## "+version, "## "+unreleased)
	}
	if body == "" {
		return "", fmt.Errorf("%s says nothing of %s: write what changed for users", changelog, version)
	}
	return "# tombolo " + version + "\n\n" + body + "\n", nil
}

// sectionsOf returns what stands under each heading "## NAME - DATE", by name.
func sectionsOf(text string) map[string]string {
	sections := map[string]string{}
	name := ""
	for line := range strings.Lines(text) {
		if heading, ok := strings.CutPrefix(line, "## "); ok {
			name, _, _ = strings.Cut(strings.TrimSpace(heading), " - ")
			sections[name] = ""
			continue
		}
		sections[name] += line
	}
	for name, body := range sections {
		sections[name] = strings.TrimSpace(body)
	}
	delete(sections, "") // what stands before the first heading
	return sections
}
