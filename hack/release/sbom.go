package release

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/tombolo-net/tombolo/test/harness/shell"
)

// shipped are the programs that users run, each with the platforms that it is built for.
func shipped() map[string][]platform {
	return map[string][]platform{
		"tombolo": {{"linux", "amd64"}, {"linux", "arm64"}},
		plugin:    platforms(),
	}
}

// sbomPart writes for each program and platform which modules it consists of, as the program itself
// says: an SBOM in CycloneDX's JSON, without time and serial number.
func sbomPart(ctx context.Context, r Release) ([]string, error) {
	var names []string
	for program, platforms := range shipped() {
		for _, p := range platforms {
			name, err := r.writeSBOM(ctx, program, p)
			if err != nil {
				return nil, err
			}
			names = append(names, name)
		}
	}
	return names, nil
}

func (r Release) writeSBOM(ctx context.Context, program string, p platform) (string, error) {
	content, err := r.build(ctx, program, p)
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "tombolo-sbom-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, program)
	if err := os.WriteFile(path, content, 0o755); err != nil {
		return "", err
	}
	name := program + "_" + r.Version + "_" + p.String() + ".cdx.json"
	out, err := filepath.Abs(filepath.Join(r.Out, name))
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, r.SBOM, "bin", "-json", "-noserial", "-notimestamp", "-std", "-licenses",
		"-version", r.Version, "-output", out, path)
	_, err = shell.Output(cmd)
	return name, err
}
