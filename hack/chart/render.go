package main

import (
	"fmt"
	"path/filepath"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	"github.com/tombolo-net/tombolo/internal/install"
)

// manifests are the objects that kustomize makes from config/.
type manifests struct {
	member    []*unstructured.Unstructured // with the optional objects
	userspace []*unstructured.Unstructured // the same, with userspace WireGuard
	secure    []*unstructured.Unstructured // those of member, with secure metrics
	hub       []*unstructured.Unstructured
}

// render reads the manifests of the tree at root. The error names the folder that kustomize cannot
// build.
func render(root string) (manifests, error) {
	var m manifests
	for _, part := range []struct {
		folder  string
		objects *[]*unstructured.Unstructured
	}{
		{"hack/chart/overlays/member", &m.member},
		{"hack/chart/overlays/userspace", &m.userspace},
		{"hack/chart/overlays/secure", &m.secure},
		{"config/hub", &m.hub},
	} {
		objects, err := install.Kustomize(filesys.MakeFsOnDisk(), filepath.Join(root, part.folder))
		if err != nil {
			return manifests{}, fmt.Errorf("building %s: %w", part.folder, err)
		}
		*part.objects = objects
	}
	return m, nil
}
