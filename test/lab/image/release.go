package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Architectures returns those that Release makes images for, sorted, as Go and Debian call them.
func Architectures() []string { return []string{"amd64", "arm64"} }

// ReleaseConfig says which image Release makes.
type ReleaseConfig struct {
	Dir      string            // required: a cache, as for Ensure
	Arch     string            // required: one of Architectures
	Binary   string            // required: the path of the static program
	Labels   map[string]string // optional: the image's labels
	Progress io.Writer         // optional: is told what is fetched
}

// Release returns tombolo's image as others pull it: an OCI image of layers that are compressed with
// gzip, which every runtime reads. Its layers are read from the cache while the image is written.
// Unlike Tombolo it takes no program of this machine where Debian's packages are out of reach.
func Release(ctx context.Context, c ReleaseConfig) (v1.Image, error) {
	if !slices.Contains(Architectures(), c.Arch) {
		return nil, fmt.Errorf("there is no image for the architecture %q: take one of %v", c.Arch, Architectures())
	}
	s := newStore(c.Dir, c.Progress)
	if c.Arch != s.arch { // package lists and layers are those of one architecture
		s = newStore(filepath.Join(c.Dir, c.Arch), c.Progress)
		s.arch = c.Arch
	}
	var img v1.Image
	err := s.locked(ctx, func() (err error) {
		img, err = s.release(ctx, tomboloRecipe(c.Binary), c.Labels)
		if errors.Is(err, errNoPackages) && s.update(ctx) {
			img, err = s.release(ctx, tomboloRecipe(c.Binary), c.Labels)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("making tombolo's image for %s: %w", c.Arch, err)
	}
	return img, nil
}

// release returns the recipe's image in the form of a release.
func (s *store) release(ctx context.Context, r recipe, labels map[string]string) (v1.Image, error) {
	work, remove, err := s.workDir()
	if err != nil {
		return nil, err
	}
	defer remove()
	config := r.Config
	config.Labels = maps.Clone(labels)
	img, err := mutate.ConfigFile(mutate.MediaType(mutate.ConfigMediaType(empty.Image, types.OCIConfigJSON), types.OCIManifestSchema1),
		&v1.ConfigFile{Architecture: s.arch, OS: "linux", Config: config, RootFS: v1.RootFS{Type: "layers"}})
	if err != nil {
		return nil, fmt.Errorf("setting the image's configuration: %w", err)
	}
	for _, lr := range r.Layers {
		cached, err := s.layer(ctx, work, lr)
		if err != nil {
			return nil, err
		}
		l, err := tarball.LayerFromOpener(cached.Uncompressed, tarball.WithMediaType(types.OCILayer))
		if err != nil {
			return nil, fmt.Errorf("compressing a layer: %w", err)
		}
		if img, err = mutate.AppendLayers(img, l); err != nil {
			return nil, fmt.Errorf("adding a layer: %w", err)
		}
	}
	return img, nil
}
