//go:build integration

package main

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/tombolo-net/tombolo/hack/testbin"
)

// What `helm template` makes is what `kubectl kustomize` makes, but for Helm's own labels and the
// release's namespace.
func TestSameAsKustomize(t *testing.T) {
	tests := []struct {
		name      string
		overlay   string // a kustomization, in which ROOT is the tree
		namespace string // of the release
		set       string
	}{
		{"a member", "resources: [ROOT/config/default]", "tombolo-system", ""},
		{"a hub", "resources: [ROOT/config/hub]", "tombolo-system", "member.enabled=false,hub.enabled=true"},
		{"a member elsewhere", "resources: [ROOT/config/default]\nnamespace: elsewhere", "elsewhere", ""},
		{"a hub elsewhere", "resources: [ROOT/config/hub]\nnamespace: elsewhere", "tombolo-system",
			"member.enabled=false,hub.enabled=true,hub.namespace=elsewhere"},
		{"a member with everything", "resources: [ROOT/config/default]\n" +
			"components: [ROOT/config/userspace-wireguard, ROOT/config/prometheus]", "tombolo-system",
			"gateway.userspaceWireguard=true,podMonitor.enabled=true,prometheusRule.enabled=true,grafanaBoards.enabled=true"},
		{"a member with secure metrics", "resources: [ROOT/config/default]\ncomponents: [ROOT/config/prometheus, ROOT/config/secure-metrics]",
			"tombolo-system", "secureMetrics.enabled=true,podMonitor.enabled=true,prometheusRule.enabled=true,grafanaBoards.enabled=true"},
		{"a member with secure metrics elsewhere", "resources: [ROOT/config/default]\ncomponents: [ROOT/config/secure-metrics]\nnamespace: elsewhere",
			"elsewhere", "secureMetrics.enabled=true"},
	}
	for _, version := range []string{"helm3", "helm4"} {
		chart, helm := newChart(t), helm(t, version)
		for _, tt := range tests {
			t.Run(version+" "+tt.name, func(t *testing.T) {
				want := kustomize(t, tt.overlay)
				delete(want, "Namespace "+tt.namespace)
				out := output(t, helm, "template", "tombolo", chart, "--namespace", tt.namespace, "--set", "crds.keep=false,"+tt.set)
				have := parse(t, out)
				if diff := cmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(have))); diff != "" {
					t.Errorf("objects (-kustomize +helm):\n%s", diff)
				}
				for name, o := range have {
					withoutHelm(t, name, o)
					if diff := cmp.Diff(want[name], o); diff != "" {
						t.Errorf("%s (-kustomize +helm):\n%s", name, diff)
					}
				}
			})
		}
	}
}

// A chart of the hub and of a member has the objects of both.
func TestHubAndMember(t *testing.T) {
	out := output(t, helm(t, "helm4"), "template", "tombolo", newChart(t), "--namespace", "tombolo-system", "--set", "hub.enabled=true")
	want := kustomize(t, "resources: [ROOT/config/default]")
	maps.Copy(want, kustomize(t, "resources: [ROOT/config/hub]"))
	delete(want, "Namespace tombolo-system")
	have := parse(t, out)
	for name := range want {
		if have[name] == nil {
			t.Errorf("%s is missing", name)
		}
	}
	if len(have) != len(want) {
		t.Errorf("%d objects, want %d", len(have), len(want))
	}
}

// newChart writes the chart with the image that is in config/, and returns its folder.
func newChart(t *testing.T) string {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "tombolo")
	t.Chdir("../..")
	if err := run([]string{"-out", folder, "-version", "v1.2.3"}); err != nil {
		t.Fatal(err)
	}
	t.Chdir("hack/chart")
	return folder
}

// helm is the path of that Helm.
func helm(t *testing.T, version string) string {
	t.Helper()
	return strings.TrimSpace(output(t, "../tool.sh", version))
}

// kustomize returns what kubectl makes of a kustomization.
func kustomize(t *testing.T, overlay string) map[string]*unstructured.Unstructured {
	t.Helper()
	binaries, err := testbin.Dir()
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	relative, err := filepath.Rel(folder, root)
	if err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(overlay, "ROOT", relative)
	if err := os.WriteFile(filepath.Join(folder, "kustomization.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return parse(t, output(t, filepath.Join(binaries, "kubectl"), "kustomize", folder))
}

// parse returns the objects in a stream of YAML, by kind, namespace and name.
func parse(t *testing.T, text string) map[string]*unstructured.Unstructured {
	t.Helper()
	objects := map[string]*unstructured.Unstructured{}
	for decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(text), 4096); ; {
		o := &unstructured.Unstructured{}
		err := decoder.Decode(o)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if len(o.Object) == 0 {
			continue // a template that made nothing
		}
		if strings.HasPrefix(o.GetKind(), "ValidatingAdmissionPolicy") {
			o.SetNamespace("") // kustomize takes kinds that it does not know for namespaced
		}
		if objects[describe(o)] != nil {
			t.Fatalf("%s comes twice", describe(o))
		}
		objects[describe(o)] = o
	}
	if len(objects) == 0 {
		t.Fatal("there is no object")
	}
	return objects
}

// withoutHelm removes the labels that the chart adds, and wants them to be there.
func withoutHelm(t *testing.T, name string, o *unstructured.Unstructured) {
	t.Helper()
	labels := o.GetLabels()
	own := map[string]string{"app.kubernetes.io/instance": "tombolo", "app.kubernetes.io/managed-by": "Helm", "helm.sh/chart": "tombolo-1.2.3"}
	for key, value := range own {
		if labels[key] != value {
			t.Errorf("%s: label %s is %q, want %q", name, key, labels[key], value)
		}
		delete(labels, key)
	}
	delete(labels, "app.kubernetes.io/version")
	if len(labels) == 0 {
		labels = nil
	}
	o.SetLabels(labels)
}

// output runs a program and returns what it prints.
func output(t *testing.T, program string, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s%s", filepath.Base(program), strings.Join(args, " "), err, stdout.String(), stderr.String())
	}
	return stdout.String()
}
