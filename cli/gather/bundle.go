package gather

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"sigs.k8s.io/yaml"
)

// maxFile is how much of one file is kept. What is longer is cut at its end, or a log at its
// beginning.
const maxFile = 16 << 20

// index says what a bundle holds.
type index struct {
	// Made is when the command began.
	Made time.Time `json:"made"`
	// Plugin is the version of kubectl tombolo.
	Plugin string `json:"plugin"`
	// Clusters that were asked, in the order of their contexts.
	Clusters []clusterFacts `json:"clusters"`
	// Files of the bundle, by path.
	Files []file `json:"files"`
	// Missing is what could not be had.
	Missing []missing `json:"missing"`
}

// clusterFacts are what one looks for first in a cluster.
type clusterFacts struct {
	Context    string   `json:"context"`
	Folder     string   `json:"folder"`
	ClusterID  string   `json:"clusterID,omitempty"`
	Kubernetes string   `json:"kubernetes,omitempty"`
	Namespace  string   `json:"namespace,omitempty"`
	Hubs       []string `json:"hubs,omitempty"` // namespaces that are a hub
	Images     []string `json:"images,omitempty"`
}

type file struct {
	Path  string `json:"path"`
	What  string `json:"what"`
	Bytes int    `json:"bytes"`
	// Cut: it was longer.
	Cut bool `json:"cut,omitempty"`
}

type missing struct {
	Context string `json:"context,omitempty"`
	What    string `json:"what"`
	Why     string `json:"why"`
}

// bundle is an archive that is written. It is safe for concurrent use.
type bundle struct {
	folder string
	masker masker

	mu    sync.Mutex // guards what follows
	tar   *tar.Writer
	index index
}

// newBundle writes an archive of one folder of that name to out.
func newBundle(out io.Writer, folder string, m masker, about index) (*bundle, func() error) {
	zip := gzip.NewWriter(out)
	about.Clusters, about.Files, about.Missing = []clusterFacts{}, []file{}, []missing{} // programs rely on lists
	b := &bundle{folder: folder, masker: m, tar: tar.NewWriter(zip), index: about}
	return b, func() error { return errors.Join(b.tar.Close(), zip.Close()) }
}

// add puts a file into the archive, without secrets.
func (b *bundle) add(path, what string, content []byte) error {
	content = b.masker.mask(content)
	cut := len(content) > maxFile
	if cut {
		content = content[:maxFile]
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.index.Files = append(b.index.Files, file{Path: path, What: what, Bytes: len(content), Cut: cut})
	return b.write(path, content)
}

func (b *bundle) write(path string, content []byte) error {
	header := &tar.Header{Name: b.folder + "/" + path, Mode: 0o600, Size: int64(len(content)), ModTime: b.index.Made}
	if err := b.tar.WriteHeader(header); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if _, err := b.tar.Write(content); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}

// lack notes what could not be had.
func (b *bundle) lack(context, what string, why error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.index.Missing = append(b.index.Missing, missing{Context: context, What: what, Why: string(b.masker.mask([]byte(why.Error())))})
}

// knows notes the facts of a cluster.
func (b *bundle) knows(facts clusterFacts) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.index.Clusters = append(b.index.Clusters, facts)
}

// finish writes the index, and returns it.
func (b *bundle) finish() (index, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	slices.SortFunc(b.index.Files, func(x, y file) int { return strings.Compare(x.Path, y.Path) })
	text, err := yaml.Marshal(b.index)
	if err != nil {
		return b.index, fmt.Errorf("writing the index: %w", err)
	}
	return b.index, b.write("index.yaml", append([]byte(indexHead), b.masker.mask(text)...))
}

const indexHead = `# What this support bundle of tombolo holds. clusters: what was asked. files: what is where. missing: what could not be had, and why.
# It was made without reading a Secret. What looked like a token, a password or a private key is replaced by [masked].
`

// create makes the file for the bundle, for its owner only.
func create(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("--file: %s is there already: name another one", name)
	}
	return f, err
}
