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
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const (
	// format counts for every key: a change of how layers are written changes it.
	format = "3"
	// keyDigits is how many hex digits of a key are in an archive's name.
	keyDigits = 16
	// keptArchives is how many archives of one image stay in the cache: somebody may be importing
	// an older one.
	keptArchives = 3
	// keptLayers is how many layers stay in the cache, those that were used last.
	keptLayers = 32
)

// store is a cache of archives and of what they are made from. Its user holds the lock.
type store struct {
	dir      string
	arch     string // of all images, as Go and Debian call it
	progress io.Writer

	leftOut []string // packages that are never taken
	updated bool     // package lists were fetched, or cannot be
	host    bool     // take the host's programs, for want of packages
}

// ensure returns the archive of r, which it makes if it is not there.
func (s *store) ensure(ctx context.Context, r recipe) (Archive, error) {
	archive, err := s.attempt(ctx, r)
	if errors.Is(err, errNoPackages) && s.update(ctx) { // package lists were missing, or too old for the mirror
		archive, err = s.attempt(ctx, r)
	}
	if errors.Is(err, errNoPackages) && ctx.Err() == nil {
		return s.fallBack(ctx, r, err)
	}
	return archive, err
}

func (s *store) attempt(ctx context.Context, r recipe) (Archive, error) {
	key, err := s.key(ctx, r)
	if err != nil {
		return Archive{}, err
	}
	archive := Archive{Ref: r.Ref, Path: s.path(r, key)}
	if _, err := os.Stat(archive.Path); err == nil {
		return archive, nil
	}
	fmt.Fprintf(s.progress, "making image %s\n", r.Ref)
	if err := s.build(ctx, r, archive.Path); err != nil {
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
	fmt.Fprintf(s.progress, "taking the host's programs for image %s: %v\n", r.Ref, why)
	s.host = true
	archive, err := s.attempt(ctx, r)
	if err != nil {
		return Archive{}, errors.Join(err, why)
	}
	return archive, nil
}

// key is a digest of everything that the image depends on.
func (s *store) key(ctx context.Context, r recipe) (string, error) {
	layers := make([]string, 0, len(r.Layers))
	for _, l := range r.Layers {
		key, err := s.layerKey(ctx, l)
		if err != nil {
			return "", err
		}
		layers = append(layers, key)
	}
	return digest(r.Ref, r.Config, layers)
}

// layerKey is a digest of everything that a layer depends on.
func (s *store) layerKey(ctx context.Context, l layerRecipe) (string, error) {
	h := sha256.New()
	if err := s.addInputs(ctx, h, l); err != nil {
		return "", err
	}
	l.Binary = "" // what it holds counts, not where it is
	return digest(format, l, h.Sum(nil))
}

// digest returns the first digits of a digest of values.
func digest(values ...any) (string, error) {
	text, err := json.Marshal(values)
	if err != nil {
		return "", fmt.Errorf("writing the recipe: %w", err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])[:keyDigits], nil
}

// addInputs writes to h what a layer takes from elsewhere.
func (s *store) addInputs(ctx context.Context, h io.Writer, l layerRecipe) error {
	if len(l.Packages) > 0 && !s.host {
		debs, err := s.selection(ctx, l.Packages)
		if err != nil {
			return err
		}
		fmt.Fprintln(h, debs)
	}
	if l.Source != "" {
		version, err := goVersion(ctx)
		if err != nil {
			return err
		}
		fmt.Fprintln(h, version)
	}
	if s.host {
		fmt.Fprintln(h, "host")
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
	return newest(filepath.Join(s.dir, fileName(r.Ref)+"-"+strings.Repeat("?", keyDigits)+".tar"))
}

// newest returns the paths that match the pattern, newest first.
func newest(pattern string) []string {
	paths, _ := filepath.Glob(pattern) // the pattern is well-formed
	changed := map[string]time.Time{}
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil {
			changed[path] = info.ModTime()
		}
	}
	slices.SortFunc(paths, func(a, b string) int {
		return cmp.Or(changed[b].Compare(changed[a]), cmp.Compare(a, b))
	})
	return paths
}

// prune removes the archives of r that are long replaced, and layers that no recent archive has
// used.
func (s *store) prune(r recipe) error {
	var errs []error
	for i, path := range s.archives(r) {
		if i >= keptArchives {
			errs = append(errs, os.Remove(path))
		}
	}
	for i, path := range newest(filepath.Join(s.layerDir(), "*")) {
		if i >= keptLayers {
			errs = append(errs, os.Remove(path))
		}
	}
	return errors.Join(errs...)
}
