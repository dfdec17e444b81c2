package image

import (
	"context"
	"errors"
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
)

func TestRecipes(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range append(recipes(), tomboloRecipe("/x"), corednsRecipe("/x")) {
		if _, err := name.NewTag(r.Ref); err != nil {
			t.Errorf("%s is not the name of an image: %v", r.Ref, err)
		}
		if seen[fileName(r.Ref)] {
			t.Errorf("%s is there twice", r.Ref)
		}
		seen[fileName(r.Ref)] = true
		for _, l := range r.Layers {
			for _, f := range l.Files {
				if !path.IsAbs(f.Path) || path.Clean(f.Path) != f.Path || merged(f.Path) != f.Path && f.Link == "" {
					t.Errorf("%s: %s is not a clean path of a merged /usr", r.Ref, f.Path)
				}
			}
			if (l.Binary != "" || l.Source != "") != (l.To != "") {
				t.Errorf("%s: a program without a place, or a place without a program: %+v", r.Ref, l)
			}
		}
	}
}

// Two images of one base have the same first layer: a node holds it once.
func TestSharedBase(t *testing.T) {
	first := base()
	for _, ref := range []string{"busybox", "nginx", "nicolaka/netshoot:v0.15", "alpine/socat:1.7.4.4", Agnhost} {
		r, err := recipeOf(ref)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(first, r.Layers[0]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", ref, diff)
		}
	}
}

// A tag that no recipe names is the same image.
func TestAnyTag(t *testing.T) {
	for _, tt := range []struct {
		ref  string
		want string
	}{
		{"busybox", "busybox"},
		{"busybox:1.37", "busybox"},
		{"nicolaka/netshoot", "nicolaka/netshoot:v0.15"},
		{"nicolaka/netshoot:v9", "nicolaka/netshoot:v0.15"},
		{"alpine/socat:1.8.0.0", "alpine/socat:1.7.4.4"},
		{"tombolo-net/echo:whatever", Echo},
	} {
		if r, err := recipeOf(tt.ref); err != nil || r.Ref != tt.want {
			t.Errorf("%s is made as %q (%v), want %q", tt.ref, r.Ref, err, tt.want)
		}
	}
	for _, ref := range []string{"busybo", "busybox2:1.37", "netshoot:v0.15"} {
		if _, err := recipeOf(ref); !errors.Is(err, ErrUnknown) {
			t.Errorf("%s: %v, want %v", ref, err, ErrUnknown)
		}
	}
}

func TestUnknown(t *testing.T) {
	if _, err := Ensure(context.Background(), t.TempDir(), nil, "no/such:image"); !errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), "no/such:image") {
		t.Errorf("Ensure: %v, want %v with the image's name", err, ErrUnknown)
	}
}

// Every part of a recipe counts for its key.
func TestKey(t *testing.T) {
	layer := layerRecipe{Files: []file{{Path: "/a", Content: "x"}}}
	s := newStore(t.TempDir(), nil)
	keys := map[string]string{}
	for _, tt := range []struct {
		what string
		r    recipe
	}{
		{"the first", recipe{Ref: "a", Layers: []layerRecipe{layer}}},
		{"another name", recipe{Ref: "b", Layers: []layerRecipe{layer}}},
		{"another command", recipe{Ref: "a", Layers: []layerRecipe{layer}, Config: busyboxRecipe().Config}},
		{"another file", recipe{Ref: "a", Layers: []layerRecipe{{Files: []file{{Path: "/a", Content: "y"}}}}}},
		{"twice the layer", recipe{Ref: "a", Layers: []layerRecipe{layer, layer}}},
	} {
		key, err := s.key(t.Context(), tt.r)
		if err != nil {
			t.Fatal(err)
		}
		if other, taken := keys[key]; taken {
			t.Errorf("%s and %s have the same key", tt.what, other)
		}
		keys[key] = tt.what
	}
}
