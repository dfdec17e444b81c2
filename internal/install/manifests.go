package install

import (
	"fmt"
	"io/fs"
	"path"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/config"
)

// imageName is how the manifests call tombolo's image.
const imageName = "tombolo-net/tombolo"

// MemberConfig says how tombolo is installed in a member.
type MemberConfig struct {
	// Namespace in which tombolo runs; empty: tombolo-system.
	Namespace string
	// Image, such as ghcr.io/tombolo-net/tombolo:v1.2.3 or with a digest; empty: what the manifests
	// name, which only clusters of the tests have.
	Image string
	// UserspaceWireGuard gives gateways what they need where the kernel has no WireGuard.
	UserspaceWireGuard bool
}

// MemberManifests are the objects that a member runs, namespaces and CRDs first. The error says what
// kustomize refuses.
func MemberManifests(c MemberConfig) ([]*unstructured.Unstructured, error) {
	overlay := types.Kustomization{Namespace: c.Namespace, Resources: []string{"../config/default"}}
	if c.UserspaceWireGuard {
		overlay.Components = []string{"../config/userspace-wireguard"}
	}
	if c.Image != "" {
		overlay.Images = []types.Image{imageOf(c.Image)}
	}
	return build(overlay)
}

// HubConfig says where the hub is, and whose.
type HubConfig struct {
	// Namespace that is the hub; empty: tombolo-hub.
	Namespace string
	// ClusterSetID of the clusterset; required.
	ClusterSetID string
}

// HubManifests are the objects that make a namespace the hub, namespaces and CRDs first.
func HubManifests(c HubConfig) ([]*unstructured.Unstructured, error) {
	objects, err := build(types.Kustomization{Namespace: c.Namespace, Resources: []string{"../config/hub"}})
	if err != nil {
		return nil, err
	}
	for _, o := range objects {
		if labels := o.GetLabels(); o.GetKind() == "Namespace" {
			labels[v1alpha1.LabelClusterSet] = c.ClusterSetID
			o.SetLabels(labels)
		}
	}
	return objects, nil
}

// imageOf splits a reference. What follows the last slash may have a tag, a digest or both.
func imageOf(reference string) types.Image {
	name, digest, _ := strings.Cut(reference, "@")
	image := types.Image{Name: imageName, NewName: name, Digest: digest}
	if i := strings.LastIndex(name, ":"); i > strings.LastIndex(name, "/") {
		image.NewName, image.NewTag = name[:i], name[i+1:]
	}
	return image
}

// build runs kustomize on the embedded manifests and an overlay of them.
func build(overlay types.Kustomization) ([]*unstructured.Unstructured, error) {
	disk := filesys.MakeFsInMemory()
	err := fs.WalkDir(config.Files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := config.Files.ReadFile(name)
		if err != nil {
			return err
		}
		return disk.WriteFile(path.Join("/config", name), content)
	})
	if err != nil {
		return nil, fmt.Errorf("reading the embedded manifests: %w", err)
	}
	text, err := yaml.Marshal(overlay)
	if err != nil {
		return nil, fmt.Errorf("writing an overlay: %w", err)
	}
	if err := disk.WriteFile("/overlay/kustomization.yaml", text); err != nil {
		return nil, fmt.Errorf("writing an overlay: %w", err)
	}
	objects, err := Kustomize(disk, "/overlay")
	if err != nil {
		return nil, fmt.Errorf("building the manifests: %w", err)
	}
	var first, rest []*unstructured.Unstructured
	for _, o := range objects {
		switch o.GetKind() {
		case "Namespace", "CustomResourceDefinition":
			first = append(first, o)
		default:
			rest = append(rest, o)
		}
	}
	return append(first, rest...), nil
}

// Kustomize returns the objects that kustomize makes from a folder, in its order.
func Kustomize(disk filesys.FileSystem, folder string) ([]*unstructured.Unstructured, error) {
	made, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(disk, folder)
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
