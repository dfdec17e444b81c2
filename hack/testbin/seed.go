package testbin

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// seedEntry is one line of a seed's VERSIONS file.
type seedEntry struct {
	version string
	sha256  string
}

// parseVersions reads the lines "name version SHA-256" of a VERSIONS file;
// empty lines and lines that start with # are skipped. A name that comes
// twice is an error.
func parseVersions(r io.Reader) (map[string]seedEntry, error) {
	entries := map[string]seedEntry{}
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Fields(line)
		if len(f) != 3 || !isSHA256(f[2]) {
			return nil, fmt.Errorf("line %d: want name, version, SHA-256, got %q", n, line)
		}
		if _, twice := entries[f[0]]; twice {
			return nil, fmt.Errorf("line %d: %s comes twice", n, f[0])
		}
		entries[f[0]] = seedEntry{version: f[1], sha256: f[2]}
	}
	return entries, lines.Err()
}

// seed takes ready-made copies of wanted programs from dir, a folder with
// VERSIONS and testbin.tar.xz. A copy is taken only if VERSIONS gives it the
// recipe's version and its content has the SHA-256 that VERSIONS gives it. It
// says which copies have another version, and returns the names taken, also
// with an error.
func (s *store) seed(ctx context.Context, dir string, wanted []recipe, say func(format string, args ...any)) ([]string, error) {
	f, err := os.Open(filepath.Join(dir, "VERSIONS"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	offered, err := parseVersions(f)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", f.Name(), err)
	}
	fitting := map[string]recipe{}
	for _, r := range wanted {
		switch offer, ok := offered[r.name]; {
		case ok && offer.version == r.version:
			fitting[r.name] = r
		case ok:
			say("%s: the copy is %s, wanted is %s: not used", r.name, offer.version, r.version)
		}
	}
	if len(fitting) == 0 {
		return nil, nil
	}
	taken, err := s.unpackSeed(ctx, filepath.Join(dir, "testbin.tar.xz"), fitting, offered)
	if err != nil {
		return taken, fmt.Errorf("unpacking %s: %w", filepath.Join(dir, "testbin.tar.xz"), err)
	}
	return taken, nil
}

// unpackSeed streams the archive through xz and takes what fits.
func (s *store) unpackSeed(ctx context.Context, archive string, fitting map[string]recipe, offered map[string]seedEntry) ([]string, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	xz := exec.CommandContext(ctx, "xz", "--decompress", "--stdout", "--", archive)
	var complaint strings.Builder
	xz.Stderr = &complaint
	out, err := xz.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := xz.Start(); err != nil {
		return nil, err
	}
	taken, err := s.takeAll(tar.NewReader(out), fitting, offered)
	complete := err == nil && len(taken) == len(fitting)
	if complete {
		stop() // the rest of the archive is of no interest
	}
	if waitErr := xz.Wait(); waitErr != nil && !complete {
		err = errors.Join(err, fmt.Errorf("xz: %w: %s", waitErr, strings.TrimSpace(complaint.String())))
	}
	return taken, err
}

// takeAll reads the archive until all that fits is taken or it ends. What has
// a wrong digest is reported and left; a damaged archive ends the reading.
func (s *store) takeAll(archive *tar.Reader, fitting map[string]recipe, offered map[string]seedEntry) ([]string, error) {
	var taken []string
	var bad error
	for len(taken) < len(fitting) {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return taken, bad
		}
		if err != nil {
			return taken, errors.Join(bad, err)
		}
		r, ok := fitting[h.Name]
		if !ok || h.Typeflag != tar.TypeReg {
			continue
		}
		if err := s.take(archive, r, offered[r.name]); err != nil {
			bad = errors.Join(bad, fmt.Errorf("taking %s: %w", r.name, err))
			continue
		}
		taken = append(taken, r.name)
	}
	return taken, bad
}

// take writes one program to a temporary name and makes it r's entry if its
// digest is the one offered.
func (s *store) take(content io.Reader, r recipe, offer seedEntry) error {
	tmp := filepath.Join(s.tmpDir(), "seed-"+r.name)
	defer os.Remove(tmp) // nothing is left of it after put
	if err := writeFile(tmp, content); err != nil {
		return err
	}
	sum, _, err := hashFile(tmp)
	if err != nil {
		return err
	}
	if sum != offer.sha256 {
		return fmt.Errorf("SHA-256 is %s, not %s", sum, offer.sha256)
	}
	return s.put(r, tmp, record{Version: offer.version, Origin: originSeed, Added: time.Now().UTC()})
}

func writeFile(path string, content io.Reader) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	return errors.Join(err, f.Close())
}
