// Command mcscrd writes the CustomResourceDefinitions of ServiceExport and ServiceImport, as
// sigs.k8s.io/mcs-api ships them in the version that go.mod names, into a folder: schema, versions,
// columns and labels, without descriptions and comments. Of its own it adds what a ServiceExport says
// before the operator has seen it: tools that wait would take an export without conditions for done.
package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/mcs-api/config/crd"
	"sigs.k8s.io/yaml"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: go run ./hack/mcscrd FOLDER")
		os.Exit(2)
	}
	if err := writeAll(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "mcscrd:", err)
		os.Exit(1)
	}
}

// writeAll writes both definitions into dir, each in a file named after its group and plural.
func writeAll(dir string) error {
	for name, source := range map[string][]byte{
		"multicluster.x-k8s.io_serviceexports.yaml": crd.ServiceExportCRD,
		"multicluster.x-k8s.io_serviceimports.yaml": crd.ServiceImportCRD,
	} {
		text, err := withoutDescriptions(source)
		if err != nil {
			return fmt.Errorf("reading %s: %w", name, err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
	}
	return nil
}

// withoutDescriptions is the same YAML, keys sorted, without the descriptions in its schemas. The
// condition Ready of a ServiceExport has a default.
func withoutDescriptions(source []byte) ([]byte, error) {
	var object map[string]any
	if err := yaml.Unmarshal(source, &object); err != nil {
		return nil, err
	}
	dropDescriptions(object)
	setPending(object)
	text, err := yaml.Marshal(object)
	return append([]byte("---\n"), text...), err
}

// setPending makes Ready of a ServiceExport Unknown until somebody writes its status.
func setPending(object map[string]any) {
	spec, _ := object["spec"].(map[string]any)
	if names, _ := spec["names"].(map[string]any); names["kind"] != "ServiceExport" {
		return
	}
	versions, _ := spec["versions"].([]any)
	for _, version := range versions {
		status, found, err := unstructured.NestedFieldNoCopy(version.(map[string]any), "schema", "openAPIV3Schema", "properties", "status")
		if err != nil || !found {
			continue
		}
		status.(map[string]any)["default"] = map[string]any{"conditions": []any{map[string]any{
			"type": "Ready", "status": "Unknown", "reason": "Pending", "message": "the operator has not seen the ServiceExport yet",
			"lastTransitionTime": "1970-01-01T00:00:00Z",
		}}}
	}
}

// dropDescriptions deletes every description that is a text; a schema's property of that name is a
// map, and stays.
func dropDescriptions(value any) {
	switch value := value.(type) {
	case map[string]any:
		maps.DeleteFunc(value, func(key string, v any) bool {
			_, isText := v.(string)
			return key == "description" && isText
		})
		for _, v := range value {
			dropDescriptions(v)
		}
	case []any:
		for _, v := range value {
			dropDescriptions(v)
		}
	}
}
