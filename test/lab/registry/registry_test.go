package registry

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// archive writes an image with one layer and returns the file's path.
func archive(t *testing.T, config, layer string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image.tar")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	listing := fmt.Sprintf(`[{"Config":"sha256:%s","RepoTags":["a:latest"],"Layers":["%s.tar"]}]`, hash(config), hash(layer))
	w := tar.NewWriter(f)
	for _, file := range [][2]string{{"sha256:" + hash(config), config}, {hash(layer) + ".tar", layer}, {"manifest.json", listing}} {
		if err := w.WriteHeader(&tar.Header{Name: file[0], Size: int64(len(file[1])), Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, file[1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestShortName(t *testing.T) {
	tests := []struct {
		name              string
		registry, in, tag string
		want              string
	}{
		{"filled in whole", filledIn, "library/busybox", "latest", "busybox"},
		{"tag of its own", filledIn, "library/busybox", "1.37", "busybox:1.37"},
		{"folder of its own", filledIn, "nicolaka/netshoot", "v0.15", "nicolaka/netshoot:v0.15"},
		{"registry of its own", "example.com", "library/busybox", "latest", "example.com/library/busybox"},
		{"asked directly", "", "library/busybox", "latest", "busybox"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := shortName(tt.registry, tt.in, tt.tag); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestPull does what containerd does.
func TestPull(t *testing.T) {
	const config, layer = `{"architecture":"amd64"}`, "the layer's content"
	path := archive(t, config, layer)
	server := httptest.NewServer(New(func(_ context.Context, ref string) (string, error) {
		if ref != "busybox" {
			return "", fmt.Errorf("image %s: %w", ref, ErrUnknown)
		}
		return path, nil
	}))
	defer server.Close()
	head, _ := do(t, http.MethodHead, server.URL+"/v2/library/busybox/manifests/latest?ns="+filledIn, http.StatusOK)
	digest := head.Get("Docker-Content-Digest")
	_, body := do(t, http.MethodGet, server.URL+"/v2/library/busybox/manifests/"+digest, http.StatusOK)
	if got := "sha256:" + hash(body); got != digest {
		t.Errorf("the manifest's digest is %s, not %s", got, digest)
	}
	var got manifest
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	want := manifest{
		SchemaVersion: 2, MediaType: manifestType,
		Config: descriptor{configType, "sha256:" + hash(config), int64(len(config))},
		Layers: []descriptor{{layerType, "sha256:" + hash(layer), int64(len(layer))}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("manifest (-want +got):\n%s", diff)
	}
	for _, content := range []string{config, layer} {
		if _, body := do(t, http.MethodGet, server.URL+"/v2/library/busybox/blobs/sha256:"+hash(content), http.StatusOK); body != content {
			t.Errorf("blob: got %q, want %q", body, content)
		}
	}
	do(t, http.MethodGet, server.URL+"/v2/", http.StatusOK)
	do(t, http.MethodHead, server.URL+"/v2/library/nginx/manifests/latest?ns="+filledIn, http.StatusNotFound)
	do(t, http.MethodGet, server.URL+"/v2/library/busybox/blobs/sha256:"+hash("else"), http.StatusNotFound)
	do(t, http.MethodPost, server.URL+"/v2/library/busybox/blobs/uploads/", http.StatusMethodNotAllowed)
}

func do(t *testing.T, method, url string, want int) (http.Header, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != want {
		t.Errorf("%s %s: %s %s, want %d", method, url, response.Status, body, want)
	}
	return response.Header, string(body)
}

func TestBrokenArchive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "image.tar")
	for _, content := range []string{"", "no tar file"} {
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, _, err := index(path); err == nil {
			t.Errorf("the archive %q was read", content)
		}
	}
}

func TestDescribe(t *testing.T) {
	tests := []struct{ name, in, kind string }{
		{"configuration", "sha256:abc", configType},
		{"layer", "abc.tar", layerType},
		{"layer, gzip", "abc.tar.gz", layerType + "+gzip"},
		{"layer, zstd", "sha256:abc.tar.zst", layerType + "+zstd"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := descriptor{MediaType: tt.kind, Digest: "sha256:abc", Size: 1}
			if diff := cmp.Diff(want, describe(tt.in, 1)); diff != "" {
				t.Errorf("descriptor (-want +got):\n%s", diff)
			}
		})
	}
}
