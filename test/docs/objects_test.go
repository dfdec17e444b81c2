package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"sigs.k8s.io/yaml"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

var hereDocument = regexp.MustCompile(`(?ms)<<'?(END|EOF)'?$\n(.*?)^(?:END|EOF)$`)

// TestObjects: the objects of tombolo's kinds in the pages have only fields that there are. What has a
// shell's variable in it is left out: test/policy runs that.
func TestObjects(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	decoder := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	found := 0
	for _, p := range pages(t) {
		for _, b := range p.blocks {
			texts := []string{b.text}
			if b.language != "yaml" {
				texts = nil
				for _, document := range hereDocument.FindAllStringSubmatch(b.text, -1) {
					texts = append(texts, document[2])
				}
			}
			for _, text := range texts {
				for _, object := range regexp.MustCompile(`(?m)^---$`).Split(text, -1) {
					if !strings.Contains(object, "apiVersion: "+v1alpha1.GroupVersion.String()) || strings.Contains(object, "$") {
						continue
					}
					found++
					if _, _, err := decoder.Decode([]byte(object), nil, nil); err != nil {
						t.Errorf("%s:%d: %v\n%s", p.path, b.line, err, object)
					}
				}
			}
		}
	}
	if found < 5 {
		t.Errorf("only %d objects: the test looks at the wrong ones", found)
	}
}

// TestEveryFieldIsDescribed: `kubectl explain` and docs/reference.md say something about each field.
func TestEveryFieldIsDescribed(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(top, "config/crd/bases", v1alpha1.GroupVersion.Group+"_*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("files %v, error %v", files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		crd := &apiextensionsv1.CustomResourceDefinition{}
		if err := yaml.UnmarshalStrict(text, crd); err != nil {
			t.Fatal(err)
		}
		for _, version := range crd.Spec.Versions {
			for _, part := range []string{"spec", "status"} {
				described(t, crd.Spec.Names.Kind+"."+part, version.Schema.OpenAPIV3Schema.Properties[part])
			}
		}
	}
}

func described(t *testing.T, path string, schema apiextensionsv1.JSONSchemaProps) {
	t.Helper()
	if schema.Items != nil && schema.Items.Schema != nil {
		described(t, path, *schema.Items.Schema)
	}
	for name, field := range schema.Properties {
		if field.Description == "" {
			t.Errorf("%s.%s has no description", path, name)
		}
		described(t, path+"."+name, field)
	}
}
