//go:build integration

package policy

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// kubebuilder's own program reads PROJECT, and writes it again as it was.
func TestKubebuilderReadsProject(t *testing.T) {
	path, err := exec.CommandContext(t.Context(), "../../hack/tool.sh", "kubebuilder").Output()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, name := range []string{"PROJECT", "go.mod", "Dockerfile", "Makefile"} {
		text, err := os.ReadFile(filepath.Join("../..", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	edit := func(flag string) string {
		kubebuilder := exec.CommandContext(t.Context(), strings.TrimSpace(string(path)), "edit", flag)
		kubebuilder.Dir = dir
		if output, err := kubebuilder.CombinedOutput(); err != nil {
			t.Fatalf("kubebuilder edit %s: %v\n%s", flag, err, output)
		}
		text, err := os.ReadFile(filepath.Join(dir, "PROJECT"))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	text, err := os.ReadFile("../../PROJECT")
	if err != nil {
		t.Fatal(err)
	}
	if edit("--multigroup=true") == string(text) {
		t.Error("kubebuilder wrote nothing")
	}
	if diff := cmp.Diff(string(text), edit("--multigroup=false")); diff != "" {
		t.Errorf("PROJECT (-tree +kubebuilder):\n%s", diff)
	}
}
