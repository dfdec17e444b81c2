//go:build integration

package policy

import (
	"path/filepath"
	"strings"
	"testing"
)

// `kubectl diff` after an apply finds no difference (it exits with 1 if it does): neither the API
// server's defaults nor what tombolo writes shows as drift. That holds after an apply on the server's
// side, too.
func TestNoDiff(t *testing.T) {
	for _, folder := range []string{"hub", "default"} {
		noDiff(t, folder)
	}
	for _, folder := range []string{"hub", "default"} {
		if _, err := run("apply", "--server-side", "--force-conflicts", "--kustomize", filepath.Join(configDir, folder)); err != nil {
			t.Fatal(err)
		}
		noDiff(t, folder, "--server-side", "--force-conflicts")
	}
}

func noDiff(t *testing.T, folder string, flags ...string) {
	t.Helper()
	args := append([]string{"diff", "--kustomize", filepath.Join(configDir, folder)}, flags...)
	if output, err := run(args...); err != nil || output != "" {
		t.Errorf("kubectl %s: %v\n%s", strings.Join(args, " "), err, output)
	}
}
