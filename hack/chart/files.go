package main

import (
	"embed"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

//go:embed all:files
var handwritten embed.FS

// chartFiles returns the whole chart, by path. version is git's; image is repository:tag or
// repository:tag@digest, empty for the one in the manifests.
func chartFiles(m manifests, version, image string) (map[string]string, error) {
	if image == "" {
		var err error
		if image, err = imageOf(m.member); err != nil {
			return nil, err
		}
	}
	image, digest, _ := strings.Cut(image, "@")
	colon := strings.LastIndex(image, ":")
	if colon < strings.LastIndex(image, "/") || colon < 0 {
		return nil, fmt.Errorf("image %q has no tag: give it as repository:tag", image)
	}
	fill := strings.NewReplacer("VERSION", semantic(version), "REPOSITORY", image[:colon], "TAG", image[colon+1:], "DIGEST", digest)
	files, err := templates(m)
	if err != nil {
		return nil, err
	}
	hand, err := fs.Sub(handwritten, "files")
	if err != nil {
		return nil, err
	}
	return files, fs.WalkDir(hand, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(hand, name)
		if name == "Chart.yaml" || name == "values.yaml" {
			text = []byte(fill.Replace(string(text)))
		}
		if _, twice := files[name]; twice {
			return fmt.Errorf("%s is both written by hand and made from config/", name)
		}
		files[name] = string(text)
		return err
	})
}

var semver = regexp.MustCompile(`^v?((?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)(?:-[0-9A-Za-z.-]+)?)$`)

// semantic is the version in the form that Helm wants. What git describe says of a tree without tags
// becomes a pre-release of 0.0.0.
func semantic(version string) string {
	if found := semver.FindStringSubmatch(version); found != nil {
		return found[1]
	}
	return "0.0.0-g" + regexp.MustCompile(`[^0-9A-Za-z-]+`).ReplaceAllString(version, "-")
}

// imageOf is the one image in the manifests.
func imageOf(objects []*unstructured.Unstructured) (string, error) {
	images := map[string]bool{}
	for _, o := range objects {
		for _, list := range []string{"initContainers", "containers"} {
			containers, _, _ := unstructured.NestedSlice(o.Object, "spec", "template", "spec", list)
			for _, c := range containers {
				if container, ok := c.(map[string]any); ok {
					images[fmt.Sprint(container["image"])] = true
				}
			}
		}
	}
	if len(images) != 1 {
		return "", fmt.Errorf("the manifests hold %d images, not one", len(images))
	}
	for image := range maps.Keys(images) {
		return image, nil
	}
	return "", nil
}

// made is the time that all files have, so that two archives of one version are the same.
var made = time.Unix(315532800, 0) // 1980-01-01

// write makes the folder hold exactly these files.
func write(folder string, files map[string]string) error {
	if err := os.RemoveAll(folder); err != nil {
		return err
	}
	for name, text := range files {
		file := filepath.Join(folder, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			return err
		}
		if err := os.Chtimes(file, made, made); err != nil {
			return err
		}
	}
	return nil
}
