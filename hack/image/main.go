// Command image makes tombolo's container image without Docker, as `make image` and the Dockerfile
// ask for it: an OCI archive for all architectures, one for each, or the files of one of them.
//
// usage: go run ./hack/image -ref NAME:TAG -binaries DIR -out DIR [-version V] [-revision R]
//
//	go run ./hack/image -binaries DIR -arch ARCH -rootfs DIR
//
// DIR/<architecture>/tombolo are the programs.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/tombolo-net/tombolo/test/lab/image"
)

type options struct {
	ref, version, revision string
	binaries, out          string
	arch, rootfs           string
}

func main() {
	var o options
	flag.StringVar(&o.ref, "ref", "", "the image's name and tag")
	flag.StringVar(&o.version, "version", "", "the label org.opencontainers.image.version")
	flag.StringVar(&o.revision, "revision", "", "the label org.opencontainers.image.revision")
	flag.StringVar(&o.binaries, "binaries", "", "the folder with <architecture>/tombolo")
	flag.StringVar(&o.out, "out", "", "the folder for image.tar, image-<architecture>.tar and image.digest")
	flag.StringVar(&o.arch, "arch", "", "with -rootfs, the architecture")
	flag.StringVar(&o.rootfs, "rootfs", "", "write the files of the image of one architecture into this folder")
	flag.Parse()
	if err := run(context.Background(), o); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	switch {
	case o.rootfs != "":
		img, err := o.image(ctx, o.arch)
		if err != nil {
			return err
		}
		return extract(img, o.rootfs)
	case o.ref == "" || o.out == "":
		return errors.New("set -ref and -out, or -rootfs and -arch")
	}
	images := map[string]v1.Image{}
	for _, arch := range image.Architectures() {
		var err error
		if images[arch], err = o.image(ctx, arch); err != nil {
			return err
		}
	}
	return writeArchives(o.out, o.ref, images)
}

// image makes the image of one architecture.
func (o options) image(ctx context.Context, arch string) (v1.Image, error) {
	cache, err := cacheDir()
	if err != nil {
		return nil, err
	}
	return image.Release(ctx, image.ReleaseConfig{
		Dir: cache, Arch: arch, Binary: filepath.Join(o.binaries, arch, "tombolo"), Labels: o.labels(), Progress: os.Stderr,
	})
}

// labels are those of the OCI image specification, annotations.md.
func (o options) labels() map[string]string {
	return map[string]string{
		"org.opencontainers.image.title":    "tombolo",
		"org.opencontainers.image.source":   "https://github.com/tombolo-net/tombolo",
		"org.opencontainers.image.licenses": "Apache-2.0",
		"org.opencontainers.image.version":  o.version,
		"org.opencontainers.image.revision": o.revision,
	}
}

// cacheDir is where packages and layers stay between two runs.
func cacheDir() (string, error) {
	if dir := os.Getenv("TOMBOLO_CACHE"); dir != "" {
		return filepath.Join(dir, "images"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("finding a cache, TOMBOLO_CACHE is not set: %w", err)
	}
	return filepath.Join(cmp.Or(os.Getenv("XDG_CACHE_HOME"), filepath.Join(home, ".cache")), "tombolo", "images"), nil
}
