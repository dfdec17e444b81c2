// Package registry serves images to the lab's nodes as a container registry does (the pull part of
// the OCI distribution specification, https://github.com/opencontainers/distribution-spec), from
// archives on the host. Nodes take it for the mirror of every registry, so that a pod's image is
// pulled when it is wanted, where it is wanted. It owns the protocol. It does not make images: it
// asks for an archive when one is pulled.
package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
)

// Source returns the archive of an image, a path on the host, given the name that a pod's spec has
// for it, such as busybox. It may take long. It ends with ErrUnknown if there is no such image.
type Source func(ctx context.Context, ref string) (path string, err error)

// ErrUnknown is what a Source ends with for an image that there is not.
var ErrUnknown = errors.New("no such image")

// Registry serves what its Source has. It is safe for concurrent use.
type Registry struct {
	source Source

	mu    sync.Mutex
	blobs map[string]blob // guarded by mu; by digest, of every image that was asked for by name
}

// blob is content that goes by its digest.
type blob struct {
	kind   string // media type
	data   []byte // the content, or else it is part of a file:
	path   string
	offset int64
	size   int64
}

// New returns a registry of what source has.
func New(source Source) *Registry {
	return &Registry{source: source, blobs: map[string]blob{}}
}

// ServeHTTP answers a node's containerd.
func (r *Registry) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	if request.Method != http.MethodGet && request.Method != http.MethodHead {
		refuse(w, http.StatusMethodNotAllowed, "UNSUPPORTED", "this registry is only read")
		return
	}
	rest, ok := strings.CutPrefix(request.URL.Path, "/v2/")
	if !ok || rest == "" {
		w.WriteHeader(http.StatusOK) // it speaks version 2
		return
	}
	if name, reference, ok := cutLast(rest, "/manifests/"); ok {
		r.manifest(w, request, name, reference)
		return
	}
	if _, digest, ok := cutLast(rest, "/blobs/"); ok {
		r.serve(w, request, digest)
		return
	}
	refuse(w, http.StatusNotFound, "UNSUPPORTED", "there are manifests and blobs")
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

// manifest serves the manifest of an image by its tag or digest.
func (r *Registry) manifest(w http.ResponseWriter, request *http.Request, name, reference string) {
	if strings.HasPrefix(reference, "sha256:") {
		r.serve(w, request, reference)
		return
	}
	ref := shortName(request.URL.Query().Get("ns"), name, reference)
	path, err := r.source(request.Context(), ref)
	if errors.Is(err, ErrUnknown) {
		refuse(w, http.StatusNotFound, "MANIFEST_UNKNOWN", err.Error())
		return
	}
	if err != nil {
		refuse(w, http.StatusInternalServerError, "UNKNOWN", err.Error())
		return
	}
	digest, err := r.add(path)
	if err != nil {
		refuse(w, http.StatusInternalServerError, "UNKNOWN", err.Error())
		return
	}
	r.serve(w, request, digest)
}

// filledIn is the registry that containerd fills in where a pod's spec names none.
var filledIn = strings.TrimPrefix(name.DefaultRegistry, "index.")

// shortName returns the name that a pod's spec has for an image: without what containerd fills in,
// which is a registry, its folder library, and the tag latest.
func shortName(registry, name, tag string) string {
	if registry == "" || registry == filledIn {
		name = strings.TrimPrefix(name, "library/")
	} else {
		name = registry + "/" + name
	}
	if tag == "latest" {
		return name
	}
	return name + ":" + tag
}

// add makes the registry serve the archive's blobs, and returns the digest of its manifest.
func (r *Registry) add(path string) (string, error) {
	blobs, manifest, err := index(path)
	if err != nil {
		return "", fmt.Errorf("reading image archive %s: %w", path, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for digest, b := range blobs {
		r.blobs[digest] = b
	}
	return manifest, nil
}

// serve answers with the blob of this digest.
func (r *Registry) serve(w http.ResponseWriter, request *http.Request, digest string) {
	r.mu.Lock()
	b, ok := r.blobs[digest]
	r.mu.Unlock()
	if !ok {
		refuse(w, http.StatusNotFound, "BLOB_UNKNOWN", digest+" is of no image that was asked for by its name")
		return
	}
	content, err := b.open()
	if err != nil {
		refuse(w, http.StatusInternalServerError, "UNKNOWN", err.Error())
		return
	}
	defer content.Close() // it is only read
	w.Header().Set("Content-Type", b.kind)
	w.Header().Set("Docker-Content-Digest", digest)
	w.Header().Set("ETag", strconv.Quote(digest))
	http.ServeContent(w, request, "", time.Time{}, content)
}

type content interface {
	io.ReadSeeker
	io.Closer
}

func (b blob) open() (content, error) {
	if b.data != nil {
		return inMemory{strings.NewReader(string(b.data))}, nil
	}
	f, err := os.Open(b.path)
	if err != nil {
		return nil, err
	}
	return inFile{io.NewSectionReader(f, b.offset, b.size), f}, nil
}

type inMemory struct{ io.ReadSeeker }

func (inMemory) Close() error { return nil }

type inFile struct {
	io.ReadSeeker
	io.Closer
}

// refuse answers with an error in the form that the specification gives it.
func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{ // the client is gone otherwise
		"errors": []map[string]string{{"code": code, "message": message}},
	})
}
