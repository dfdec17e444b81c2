package policy

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

// project is kubebuilder's PROJECT file, as far as the tree must agree with it.
type project struct {
	Domain    string   `json:"domain"`
	Layout    []string `json:"layout"`
	Repo      string   `json:"repo"`
	Version   string   `json:"version"`
	Resources []struct {
		API *struct {
			Namespaced bool `json:"namespaced"`
		} `json:"api"`
		Domain  string `json:"domain"`
		Group   string `json:"group"`
		Kind    string `json:"kind"`
		Version string `json:"version"`
	} `json:"resources"`
}

// PROJECT lists every kind that is installed, in the version that is stored, and no other.
func TestProjectListsEveryKind(t *testing.T) {
	text, err := os.ReadFile("../../PROJECT")
	if err != nil {
		t.Fatal(err)
	}
	var p project
	if err := yaml.Unmarshal(text, &p); err != nil {
		t.Fatal(err)
	}
	if p.Version != "3" || !slices.Equal(p.Layout, []string{"go.kubebuilder.io/v4"}) {
		t.Errorf("version %q and layout %q are not kubebuilder v4's", p.Version, p.Layout)
	}
	listed := map[schema.GroupVersionKind]bool{}
	for _, r := range p.Resources {
		gvk := schema.GroupVersionKind{Group: r.Group + "." + r.Domain, Version: r.Version, Kind: r.Kind}
		listed[gvk] = r.API != nil && r.API.Namespaced
	}
	if diff := cmp.Diff(installedKinds(t), listed); diff != "" {
		t.Errorf("kinds in config/crd and PROJECT, and whether they are ours and have a namespace (-crd +PROJECT):\n%s", diff)
	}
}

// installedKinds are the kinds in config/crd, in their stored version, and whether they are
// tombolo's and namespaced.
func installedKinds(t *testing.T) map[schema.GroupVersionKind]bool {
	t.Helper()
	files, err := filepath.Glob("../../config/crd/bases/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[schema.GroupVersionKind]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var crd apiextensionsv1.CustomResourceDefinition
		if err := yaml.Unmarshal(text, &crd); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		ours := crd.Spec.Group == "clusterset.tombolo.dev"
		for _, version := range crd.Spec.Versions {
			if version.Storage {
				gvk := schema.GroupVersionKind{Group: crd.Spec.Group, Version: version.Name, Kind: crd.Spec.Names.Kind}
				kinds[gvk] = ours && crd.Spec.Scope == apiextensionsv1.NamespaceScoped
			}
		}
	}
	return kinds
}
