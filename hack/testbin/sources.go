package testbin

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	_ "embed" // for SOURCES
	"encoding/hex"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

//go:generate go run ./cmd -write-sources

//go:embed SOURCES
var pinnedSources []byte

const sourcesHeader = "# written by go generate: folder, version of its module, SHA-256 over go.mod, go.sum and the Go files\n"

// source is one pinned source of Go programs.
type source struct {
	version string // of the module that holds the programs
	digest  string // SHA-256 in hex over the files that pin it
}

// parseSources reads the lines "folder version digest" of SOURCES; empty
// lines and lines that start with # are skipped.
func parseSources(data []byte) (map[string]source, error) {
	sources := map[string]source{}
	lines := bufio.NewScanner(bytes.NewReader(data))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Fields(line)
		if len(f) != 3 || !isSHA256(f[2]) {
			return nil, fmt.Errorf("line %d: want folder, version, SHA-256, got %q", n, line)
		}
		sources[f[0]] = source{version: f[1], digest: f[2]}
	}
	return sources, lines.Err()
}

// readSources derives the content of SOURCES from the folders below tree.
func readSources(tree string) ([]byte, error) {
	out := bytes.NewBufferString(sourcesHeader)
	pinned := modules()
	for _, folder := range slices.Sorted(maps.Keys(pinned)) {
		src, err := readSource(filepath.Join(tree, folder), pinned[folder])
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", folder, err)
		}
		fmt.Fprintf(out, "%s %s %s\n", folder, src.version, src.digest)
	}
	return out.Bytes(), nil
}

// readSource digests the files that pin one source and finds module's version
// among the requirements.
func readSource(dir, module string) (source, error) {
	var src source
	sum := sha256.New()
	goFiles, err := filepath.Glob(filepath.Join(dir, "*.go")) // sorted
	if err != nil {
		return source{}, err
	}
	for _, name := range append([]string{"go.mod", "go.sum"}, goFiles...) {
		name = filepath.Base(name)
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return source{}, err
		}
		fmt.Fprintf(sum, "%s %d\n", name, len(data))
		sum.Write(data)
		if name == "go.mod" {
			src.version = requiredVersion(string(data), module)
		}
	}
	if src.version == "" {
		return source{}, fmt.Errorf("go.mod does not require %s", module)
	}
	src.digest = hex.EncodeToString(sum.Sum(nil))
	return src, nil
}

// requiredVersion returns the version at which a go.mod requires module, ""
// if it does not.
func requiredVersion(gomod, module string) string {
	for line := range strings.Lines(gomod) {
		f := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require "))
		if len(f) >= 2 && f[0] == module {
			return f[1]
		}
	}
	return ""
}

// WriteSources rewrites SOURCES in tree, this package's folder, after a
// version was changed in one of the folders below it.
func WriteSources(tree string) error {
	data, err := readSources(tree)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(tree, "SOURCES"), data, 0o644)
}

// isSHA256 says whether s is a SHA-256 in lower-case hex.
func isSHA256(s string) bool {
	raw, err := hex.DecodeString(s)
	return err == nil && len(raw) == sha256.Size && s == strings.ToLower(s)
}
