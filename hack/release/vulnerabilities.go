package release

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/tombolo-net/tombolo/hack/release/vuln"
)

const vulnerabilities = "vulnerabilities.txt"

// vulnPart writes what is known of vulnerabilities in the programs. One that a program reaches ends
// the release, and so does a check that cannot be made.
func vulnPart(ctx context.Context, r Release) ([]string, error) {
	report, err := vuln.Check(ctx, vuln.Config{Tree: r.Tree, Govulncheck: r.Govulncheck, Toolchain: Toolchain, Database: r.VulnDB})
	if err != nil && !errors.Is(err, vuln.ErrReachable) {
		return nil, err
	}
	path := filepath.Join(r.Out, vulnerabilities)
	if writeErr := os.WriteFile(path, []byte(report), 0o644); writeErr != nil {
		return nil, writeErr
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s says which", err, path)
	}
	return []string{vulnerabilities}, nil
}
