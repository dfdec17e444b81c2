package image

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// buildPattern is that of the folders in which images are built.
const buildPattern = "build-*"

// build makes r's image and writes its archive to path, which appears when it is whole.
func (s *store) build(ctx context.Context, r recipe, path string) error {
	work, remove, err := s.workDir()
	if err != nil {
		return err
	}
	defer remove()
	img, err := s.image(ctx, work, r)
	if err != nil {
		return err
	}
	tag, err := name.NewTag(r.Ref)
	if err != nil {
		return fmt.Errorf("reading the image's name: %w", err)
	}
	whole := filepath.Join(work, "archive")
	if err := tarball.WriteToFile(whole, tag, img); err != nil {
		return fmt.Errorf("writing the archive: %w", err)
	}
	if err := os.Rename(whole, path); err != nil {
		return fmt.Errorf("writing the archive: %w", err)
	}
	return nil
}

// workDir makes a folder to build in. The function returned removes it.
func (s *store) workDir() (dir string, remove func(), err error) {
	if dir, err = os.MkdirTemp(s.dir, buildPattern); err != nil {
		return "", nil, fmt.Errorf("making a folder to build in: %w", err)
	}
	return dir, func() { os.RemoveAll(dir) }, nil
}

// image returns r's image, whose layers are files of the cache.
func (s *store) image(ctx context.Context, work string, r recipe) (v1.Image, error) {
	img, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{Architecture: s.arch, OS: "linux", Config: r.Config, RootFS: v1.RootFS{Type: "layers"}})
	if err != nil {
		return nil, fmt.Errorf("setting the image's configuration: %w", err)
	}
	for _, recipe := range r.Layers {
		l, err := s.layer(ctx, work, recipe)
		if err != nil {
			return nil, err
		}
		if img, err = mutate.AppendLayers(img, l); err != nil {
			return nil, fmt.Errorf("adding a layer: %w", err)
		}
	}
	return img, nil
}

// layer returns the layer of the recipe, which it makes in work if the cache lacks it.
func (s *store) layer(ctx context.Context, work string, r layerRecipe) (*layer, error) {
	key, err := s.layerKey(ctx, r)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(s.layerDir(), key+".tar.zst")
	if l, err := openLayer(path); err == nil {
		return l, nil
	}
	entries, err := s.entries(ctx, work, r)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(s.layerDir(), 0o755); err != nil {
		return nil, fmt.Errorf("making the layers' cache: %w", err)
	}
	return newLayer(work, path, entries)
}

// layerDir holds layers: most images share some.
func (s *store) layerDir() string { return filepath.Join(s.dir, "layers") }

// entries returns what the recipe puts into a layer.
func (s *store) entries(ctx context.Context, work string, l layerRecipe) ([]entry, error) {
	tree, err := s.source(ctx, work, l)
	if err != nil {
		return nil, err
	}
	var entries []entry
	for _, name := range l.Programs {
		more, err := tree.program(name)
		if err != nil {
			return nil, err
		}
		entries = append(entries, more...)
	}
	for _, at := range l.Trees {
		more, err := tree.all(at)
		if err != nil {
			return nil, err
		}
		entries = append(entries, more...)
	}
	if l.Applets {
		more, err := s.applets(ctx, tree)
		if err != nil {
			return nil, err
		}
		entries = append(entries, more...)
	}
	for _, f := range l.Files {
		entries = append(entries, entry{path: f.Path, mode: f.Mode, content: f.Content, link: f.Link})
	}
	binary, err := program(ctx, work, l)
	if err != nil || binary == "" {
		return entries, err
	}
	own, err := binaryEntry(binary, l.To)
	return append(entries, own), err
}

// program returns the path of the layer's own program, which is built if there is source for it; ""
// if it has none.
func program(ctx context.Context, work string, l layerRecipe) (string, error) {
	if l.Source == "" {
		return l.Binary, nil
	}
	return goBuild(ctx, work, l.Source)
}

// binaryEntry returns the entry of a static program.
func binaryEntry(source, to string) (entry, error) {
	static, err := isStatic(source)
	if err != nil {
		return entry{}, err
	}
	if !static {
		return entry{}, fmt.Errorf("%s is linked dynamically, the image has no libraries for it: build it with CGO_ENABLED=0", source)
	}
	info, err := os.Stat(source)
	if err != nil {
		return entry{}, err
	}
	return entry{path: to, mode: 0o755, source: source, size: info.Size()}, nil
}

// applets returns a link to busybox for each program that it can be.
func (s *store) applets(ctx context.Context, tree *tree) ([]entry, error) {
	at, err := tree.find("busybox", binDirs)
	if err != nil {
		return nil, err
	}
	busybox, _, err := tree.resolve(at)
	if err != nil {
		return nil, err
	}
	out, err := s.loaded(ctx, tree, busybox, "--list")
	if err != nil {
		return nil, fmt.Errorf("listing busybox's programs: %w", err)
	}
	var links []entry
	for _, name := range strings.Fields(string(out)) {
		if name != "busybox" {
			links = append(links, entry{path: "/usr/bin/" + name, link: "busybox"})
		}
	}
	if len(links) == 0 {
		return nil, errors.New("listing busybox's programs: the list is empty")
	}
	return links, nil
}

// loaded runs a program of the tree with the tree's own libraries.
func (s *store) loaded(ctx context.Context, tree *tree, program string, args ...string) ([]byte, error) {
	static, err := isStatic(program)
	if err != nil {
		return nil, err
	}
	if static {
		return s.run(ctx, program, args...)
	}
	loader, _, err := tree.resolve("/lib64/ld-linux-x86-64.so.2")
	if err != nil {
		return nil, err
	}
	return s.run(ctx, loader, append([]string{"--library-path", filepath.Dir(loader), program}, args...)...)
}
