package main

import (
	"fmt"
	"path/filepath"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// manifests are the objects that kustomize makes from config/.
type manifests struct {
	member    []*unstructured.Unstructured // with the optional objects
	userspace []*unstructured.Unstructured // the same, with userspace WireGuard
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
		{"config/hub", &m.hub},
	} {
		objects, err := build(filepath.Join(root, part.folder))
		if err != nil {
			return manifests{}, fmt.Errorf("building %s: %w", part.folder, err)
		}
		*part.objects = objects
	}
	return m, nil
}

func build(folder string) ([]*unstructured.Unstructured, error) {
	made, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), folder)
	if err != nil {
		return nil, err
	}
	objects := make([]*unstructured.Unstructured, 0, made.Size())
	for _, resource := range made.Resources() {
		text, err := resource.MarshalJSON()
		if err != nil {
			return nil, err
		}
		object := &unstructured.Unstructured{}
		if err := object.UnmarshalJSON(text); err != nil {
			return nil, err
		}
		objects = append(objects, object)
	}
	return objects, nil
}
