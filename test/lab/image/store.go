package image

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	// format counts for every key: a change of how layers are written changes it.
	format = "1"
	// keyDigits is how many hex digits of a key are in an archive's name.
	keyDigits = 16
	// keptArchives is how many archives of one image stay in the cache: somebody may be importing an older one.
	keptArchives = 3
)

// store is a cache of archives and of what they are made from. Its user holds the lock.
type store struct {
	dir      string
	progress io.Writer

	tree *tree // the packages, unpacked; nil until they are needed
	deb  *selection
}

// ensure returns the archive of r, which it makes if it is not there.
func (s *store) ensure(ctx context.Context, r recipe) (Archive, error) {
	key, err := s.key(ctx, r)
	if errors.Is(err, errNoPackages) {
		return s.fallBack(ctx, r, err)
	}
	if err != nil {
		return Archive{}, err
	}
	archive := Archive{Ref: r.Ref, Path: s.path(r, key)}
	if _, err := os.Stat(archive.Path); err == nil {
		return archive, nil
	}
	fmt.Fprintf(s.progress, "making image %s\n", r.Ref)
	tree, err := s.unpacked(ctx, r)
	if err != nil {
		return Archive{}, err
	}
	if err := s.build(ctx, r, tree, archive.Path); err != nil {
		return Archive{}, err
	}
	return archive, s.prune(r)
}

// fallBack returns the newest archive of r, or makes one from the host's own programs.
func (s *store) fallBack(ctx context.Context, r recipe, why error) (Archive, error) {
	if old := s.archives(r); len(old) > 0 {
		fmt.Fprintf(s.progress, "taking an older image %s: %v\n", r.Ref, why)
		return Archive{Ref: r.Ref, Path: old[0]}, nil
	}
	fmt.Fprintf(s.progress, "making image %s from the host's programs: %v\n", r.Ref, why)
	path := s.path(r, "host")
	if err := s.build(ctx, r, &tree{root: "/"}, path); err != nil {
		return Archive{}, errors.Join(err, why)
	}
	return Archive{Ref: r.Ref, Path: path}, nil
}

// key is a digest of everything that the image depends on.
func (s *store) key(ctx context.Context, r recipe) (string, error) {
	h := sha256.New()
	if err := json.NewEncoder(h).Encode(r); err != nil {
		return "", fmt.Errorf("writing the recipe: %w", err)
	}
	io.WriteString(h, format)
	for _, l := range r.Layers {
		if err := s.addInputs(ctx, h, l); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(h.Sum(nil))[:keyDigits], nil
}

// addInputs writes to h what a layer takes from elsewhere.
func (s *store) addInputs(ctx context.Context, h io.Writer, l layerRecipe) error {
	if len(l.Packages) > 0 {
		deb, err := s.selection(ctx)
		if err != nil {
			return err
		}
		fmt.Fprintln(h, deb.names())
	}
	if l.Source != "" {
		version, err := goVersion(ctx)
		if err != nil {
			return err
		}
		fmt.Fprintln(h, version)
	}
	if l.Binary != "" {
		f, err := os.Open(l.Binary)
		if err != nil {
			return fmt.Errorf("reading the program: %w", err)
		}
		defer f.Close()
		if _, err := io.Copy(h, f); err != nil {
			return fmt.Errorf("reading the program %s: %w", l.Binary, err)
		}
	}
	return nil
}

// path is where the archive of r with this key is.
func (s *store) path(r recipe, key string) string {
	return filepath.Join(s.dir, fileName(r.Ref)+"-"+key+".tar")
}

// fileName is a ref without what a file's name cannot hold.
func fileName(ref string) string { return strings.NewReplacer("/", "_", ":", "_").Replace(ref) }

// archives returns the paths of r's archives, newest first.
func (s *store) archives(r recipe) []string {
	type aged struct {
		path string
		info fs.FileInfo
	}
	var found []aged
	paths, _ := filepath.Glob(filepath.Join(s.dir, fileName(r.Ref)+"-*.tar")) // the pattern is well-formed
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil {
			found = append(found, aged{path, info})
		}
	}
	slices.SortFunc(found, func(a, b aged) int {
		return cmp.Or(b.info.ModTime().Compare(a.info.ModTime()), cmp.Compare(a.path, b.path))
	})
	newest := make([]string, 0, len(found))
	for _, f := range found {
		newest = append(newest, f.path)
	}
	return newest
}

// prune removes the archives of r that are long replaced.
func (s *store) prune(r recipe) error {
	old := s.archives(r)
	if len(old) <= keptArchives {
		return nil
	}
	var errs []error
	for _, path := range old[keptArchives:] {
		errs = append(errs, os.Remove(path))
	}
	return errors.Join(errs...)
}
