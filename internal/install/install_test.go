package install

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

func TestInvitation(t *testing.T) {
	want := Invitation{ClusterSetID: "demo", ClusterID: "east", Server: "https://hub:6443", Namespace: "tombolo-hub", CA: "PEM", Token: "secret"}
	word, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeInvitation(" " + word + "\n")
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	noToken := want
	noToken.Token = ""
	lacking, err := noToken.Encode()
	if err != nil {
		t.Fatal(err)
	}
	for name, in := range map[string]string{"empty": "", "another word": "eyJhbGciOiJSUzI1NiJ9", "cut": word[:len(word)-9], "no token": lacking} {
		if _, err := DecodeInvitation(in); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got error %v", name, err)
		}
	}
}

func TestMemberManifests(t *testing.T) {
	for _, c := range []MemberConfig{{}, {Namespace: "mine", Image: "registry.example:5000/tombolo:v1@sha256:" + strings.Repeat("a", 64)}, {UserspaceWireGuard: true}} {
		objects, err := MemberManifests(c)
		if err != nil {
			t.Fatal(err)
		}
		images := map[string]bool{}
		for i, o := range objects {
			if namespace := o.GetNamespace(); c.Namespace != "" && namespace != "" && namespace != c.Namespace && namespace != "kube-system" {
				t.Errorf("%s %s is in namespace %s", o.GetKind(), o.GetName(), namespace)
			}
			if o.GetKind() == "CustomResourceDefinition" && i > 12 {
				t.Errorf("%s comes as number %d, after what may need it", o.GetName(), i)
			}
			for _, image := range imagesOf(o) {
				images[image] = true
			}
		}
		want := map[string]bool{"tombolo-net/tombolo:dev": true}
		if c.Image != "" {
			want = map[string]bool{c.Image: true}
		}
		if diff := cmp.Diff(want, images); diff != "" {
			t.Errorf("images (-want +got):\n%s", diff)
		}
	}
}

func imagesOf(o *unstructured.Unstructured) []string {
	var images []string
	for _, field := range []string{"containers", "initContainers"} {
		all, _, _ := unstructured.NestedSlice(o.Object, "spec", "template", "spec", field)
		for _, c := range all {
			images = append(images, c.(map[string]any)["image"].(string))
		}
	}
	return images
}

func TestHubManifests(t *testing.T) {
	objects, err := HubManifests(HubConfig{Namespace: "my-hub", ClusterSetID: "mine"})
	if err != nil {
		t.Fatal(err)
	}
	if o := objects[0]; o.GetKind() != "Namespace" || o.GetName() != "my-hub" || o.GetLabels()[v1alpha1.LabelClusterSet] != "mine" {
		t.Errorf("the first object is %s %s with labels %v", o.GetKind(), o.GetName(), o.GetLabels())
	}
	for _, o := range objects {
		if namespace := o.GetNamespace(); namespace != "" && namespace != "my-hub" {
			t.Errorf("%s %s is in namespace %s", o.GetKind(), o.GetName(), namespace)
		}
	}
}
