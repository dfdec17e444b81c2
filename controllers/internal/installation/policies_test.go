package installation

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestPolicies: the operator looks for the policies that config/rbac holds, and their bindings have
// the same names.
func TestPolicies(t *testing.T) {
	files, err := filepath.Glob("../../../config/rbac/*_policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range regexp.MustCompile(`(?m)^kind: (\w+)\nmetadata:\n  name: (\S+)$`).FindAllStringSubmatch(string(text), -1) {
			found[match[1]] = append(found[match[1]], match[2])
		}
	}
	for _, kind := range []string{"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"} {
		slices.Sort(found[kind])
		if diff := cmp.Diff(found[kind], policies()); diff != "" {
			t.Errorf("%s (-config/rbac +looked for):\n%s", kind, diff)
		}
	}
}
