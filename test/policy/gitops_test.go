//go:build integration

package policy

import (
	"path/filepath"
	"testing"
)

// `kubectl diff` after an apply finds no difference (it exits with 1 if it does): neither the API
// server's defaults nor what tombolo writes shows as drift.
func TestNoDiff(t *testing.T) {
	for _, folder := range []string{"hub", "default"} {
		if output, err := run("diff", "--kustomize", filepath.Join(configDir, folder)); err != nil || output != "" {
			t.Errorf("kubectl diff of config/%s: %v\n%s", folder, err, output)
		}
	}
}
