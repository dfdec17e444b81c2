//go:build integration

package vuln

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const tree = "../../.."

// A vulnerability fails the check if the plugin reaches its code, and only then. A database that
// cannot be read fails it, too.
func TestCheck(t *testing.T) {
	out, err := exec.Command(filepath.Join(tree, "hack", "tool.sh"), "govulncheck").Output()
	if err != nil {
		t.Fatalf("building govulncheck: %v", err)
	}
	check := func(database string) (string, error) {
		return Check(t.Context(), Config{Tree: tree, Govulncheck: strings.TrimSpace(string(out)), Toolchain: "local", Database: database,
			Targets: []Target{{"linux", "./cmd/kubectl-tombolo"}}})
	}
	report, err := check(standIn(t, "Command.Execute"))
	if !errors.Is(err, ErrReachable) || !strings.Contains(report, "GO-2099-0001") {
		t.Errorf("the plugin runs what is vulnerable: error %v, report\n%s", err, report)
	}
	report, err = check(standIn(t, "Command.GenBashCompletionFileV2"))
	if err != nil || !strings.Contains(report, "No vulnerabilities found") {
		t.Errorf("the plugin does not run what is vulnerable: error %v, report\n%s", err, report)
	}
	if report, err = check("file://" + t.TempDir() + "/none"); err == nil || errors.Is(err, ErrReachable) || report != "" {
		t.Errorf("there is no database: error %v, report %q", err, report)
	}
}

// standIn makes a database that knows one vulnerability: of cobra, in one function or method of it,
// in every version. It returns its URL.
func standIn(t *testing.T, symbol string) string {
	t.Helper()
	const cobra = "github.com/spf13/cobra"
	entry := map[string]any{
		"schema_version": "1.3.1", "id": "GO-2099-0001", "modified": "2026-01-01T00:00:00Z", "published": "2026-01-01T00:00:00Z",
		"summary": "A fault for a test", "database_specific": map[string]any{"url": "https://pkg.go.dev/vuln/GO-2099-0001"},
		"affected": []map[string]any{{
			"package":            map[string]any{"name": cobra, "ecosystem": "Go"},
			"ranges":             []map[string]any{{"type": "SEMVER", "events": []map[string]any{{"introduced": "0"}}}},
			"ecosystem_specific": map[string]any{"imports": []map[string]any{{"path": cobra, "symbols": []string{symbol}}}},
		}},
	}
	data, err := json.Marshal(entry)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "GO-2099-0001.json"), data, 0o644); err != nil {
		t.Fatal(err)
	}
	return "file://" + dir
}
