package release

import (
	"strings"
	"testing"
)

func TestChangesOf(t *testing.T) {
	const text = "# Changelog\n\nWhat changes.\n\n## Unreleased\n\n- soon\n\n## v0.2.0 - 2026-12-01\n\n- new\n- newer\n\n## v0.1.0 - 2026-11-01\n\n## v0.1.0-rc.1 - 2026-10-01\n\n- first\n"
	for _, tt := range []struct{ version, want, err string }{
		{"v0.2.0", "# tombolo v0.2.0\n\n- new\n- newer\n", ""},
		{"v0.1.0-rc.1", "# tombolo v0.1.0-rc.1\n\n- first\n", ""},
		{"v0.3.0-rc.1", "# tombolo v0.3.0-rc.1\n\n- soon\n", ""},
		{"v0.3.0", "", `no section "## v0.3.0": rename its section "## Unreleased"`},
		{"v0.1.0", "", "says nothing of v0.1.0"},
	} {
		got, err := changesOf(text, tt.version)
		switch {
		case tt.err == "" && err != nil, tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)):
			t.Errorf("%s: error %v, want %q", tt.version, err, tt.err)
		case got != tt.want:
			t.Errorf("%s: %q, want %q", tt.version, got, tt.want)
		}
	}
}

// TestOwnChangelog: the next release finds what it takes.
func TestOwnChangelog(t *testing.T) {
	r := Release{Version: "v99.0.0-rc.1", Tree: "../..", Out: t.TempDir()}
	if _, err := changelogPart(t.Context(), r); err != nil {
		t.Error(err)
	}
}
