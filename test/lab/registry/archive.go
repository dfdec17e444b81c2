package registry

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// Media types, of https://github.com/opencontainers/image-spec/blob/main/media-types.md.
const (
	manifestType = "application/vnd.oci.image.manifest.v1+json"
	configType   = "application/vnd.oci.image.config.v1+json"
	layerType    = "application/vnd.oci.image.layer.v1.tar"
)

// suffixes are those of layers' names, after the digest, with what they stand for.
var suffixes = []struct{ suffix, kind string }{
	{".tar.gz", layerType + "+gzip"},
	{".tar.zst", layerType + "+zstd"},
	{".tar", layerType},
}

// descriptor points to a blob.
type descriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int64  `json:"size"`
}

// manifest is an image.
type manifest struct {
	SchemaVersion int          `json:"schemaVersion"`
	MediaType     string       `json:"mediaType"`
	Config        descriptor   `json:"config"`
	Layers        []descriptor `json:"layers"`
}

// index returns the blobs of an archive by their digests, and which of them is the manifest, which it makes. The archive is one of `docker
// save` with one image, and files that are named after their SHA-256.
func index(path string) (map[string]blob, string, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, "", err
	}
	defer f.Close() // it is only read
	files, listing, err := scan(f)
	if err != nil {
		return nil, "", err
	}
	var images []struct {
		Config string
		Layers []string
	}
	if err := json.Unmarshal(listing, &images); err != nil {
		return nil, "", fmt.Errorf("parsing manifest.json: %w", err)
	}
	if len(images) != 1 {
		return nil, "", fmt.Errorf("it holds %d images, not one", len(images))
	}
	blobs := map[string]blob{}
	m := manifest{SchemaVersion: 2, MediaType: manifestType}
	add := func(name string) (descriptor, error) {
		b, ok := files[name]
		if !ok {
			return descriptor{}, fmt.Errorf("it lacks %s", name)
		}
		d := describe(name, b.size)
		b.kind, b.path = d.MediaType, path
		blobs[d.Digest] = b
		return d, nil
	}
	m.Config, err = add(images[0].Config)
	for _, layer := range images[0].Layers {
		d, layerErr := add(layer)
		err = errors.Join(err, layerErr)
		m.Layers = append(m.Layers, d)
	}
	if err != nil {
		return nil, "", err
	}
	data, err := json.Marshal(m)
	if err != nil {
		return nil, "", err
	}
	sum := sha256.Sum256(data)
	digest := "sha256:" + hex.EncodeToString(sum[:])
	blobs[digest] = blob{kind: manifestType, data: data}
	return blobs, digest, nil
}

// describe returns the descriptor of a file that is named after its digest.
func describe(name string, size int64) descriptor {
	d := descriptor{MediaType: configType, Size: size}
	digest := strings.TrimPrefix(name, "sha256:")
	for _, s := range suffixes {
		if rest, ok := strings.CutSuffix(digest, s.suffix); ok {
			digest, d.MediaType = rest, s.kind
			break
		}
	}
	d.Digest = "sha256:" + digest
	return d
}

// scan returns where the files in a tar file are, and the content of manifest.json.
func scan(f *os.File) (map[string]blob, []byte, error) {
	files := map[string]blob{}
	var listing []byte
	for archive := tar.NewReader(f); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files, listing, nil
		}
		if err != nil {
			return nil, nil, err
		}
		offset, err := f.Seek(0, io.SeekCurrent) // the reader reads headers whole, and seeks over content
		if err != nil {
			return nil, nil, err
		}
		files[header.Name] = blob{offset: offset, size: header.Size}
		if header.Name == "manifest.json" {
			if listing, err = io.ReadAll(archive); err != nil {
				return nil, nil, err
			}
		}
	}
}
