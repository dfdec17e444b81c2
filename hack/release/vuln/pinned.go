package vuln

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
)

// Pinned is the Go module that holds the reports from which Online is made. It serves where only a
// proxy for Go modules can be reached.
const Pinned = "golang.org/x/vulndb@v0.0.0-20261105234957-e22db6528018"

// copyOf returns the URL of the reports in Pinned, after downloading it into Go's cache of modules.
func copyOf(ctx context.Context, tree string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", Pinned)
	cmd.Dir, cmd.Env = tree, append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	out, err := cmd.Output() // with -json it says on its output what is wrong
	var module struct{ Dir, Error string }
	if jsonErr := json.Unmarshal(out, &module); jsonErr != nil && err == nil {
		err = jsonErr
	}
	if err != nil {
		return "", fmt.Errorf("go mod download: %w: %s", err, module.Error)
	}
	reports := url.URL{Scheme: "file", Path: filepath.ToSlash(filepath.Join(module.Dir, "data", "osv"))}
	return reports.String(), nil
}
