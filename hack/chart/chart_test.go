package main

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

func TestSlots(t *testing.T) {
	s := &slots{}
	object := map[string]any{
		"braces": "a {{ b }}",
		"inline": s.add("{{ .Values.a }}"),
		"inside": map[string]any{"first": "x", s.add("{{- if .b }}\nmore: y\n{{- end }}"): ""},
		"list":   []any{"first", s.add("{{- range .c }}\n- {{ . }}\n{{- end }}")},
	}
	const want = `braces: a {{ "{{" }} b }}
inline: {{ .Values.a }}
inside:
  first: x
  {{- if .b }}
  more: y
  {{- end }}
list:
- first
{{- range .c }}
- {{ . }}
{{- end }}
`
	got, err := s.marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("marshal (-want +got):\n%s", diff)
	}
}

func TestSemantic(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"v1.2.3", "1.2.3"},
		{"1.2.3", "1.2.3"},
		{"v1.2.3-rc.1", "1.2.3-rc.1"},
		{"v1.2.3-4-gabcdef0-dirty", "1.2.3-4-gabcdef0-dirty"},
		{"0123456", "0.0.0-g0123456"},
		{"e5d11a8-dirty", "0.0.0-ge5d11a8-dirty"},
		{"v1.2", "0.0.0-gv1-2"},
		{"a_b", "0.0.0-ga-b"},
	} {
		if got := semantic(tt.in); got != tt.want {
			t.Errorf("semantic(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestInNamespace(t *testing.T) {
	const in = "namespace: tombolo-system\nexpression: of tombolo-system:x\n"
	const want = "namespace: {{ .Release.Namespace | quote }}\nexpression: of {{ .Release.Namespace }}:x\n"
	if diff := cmp.Diff(want, inNamespace(in, "tombolo-system", ".Release.Namespace")); diff != "" {
		t.Errorf("inNamespace (-want +got):\n%s", diff)
	}
}

func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	o := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
		t.Fatal(err)
	}
	return o
}

const (
	role     = "{apiVersion: v1, kind: Role, metadata: {name: a, namespace: tombolo-system}, rules: []}"
	otherWay = "{apiVersion: v1, kind: Role, metadata: {name: a, namespace: tombolo-system}, rules: [1]}"
	twin     = "{apiVersion: v1, kind: Role, metadata: {name: a, namespace: kube-system}, rules: []}"
)

func TestTemplates(t *testing.T) {
	const body = `apiVersion: v1
kind: Role
metadata:
  labels:
    {{- include "tombolo.labels" . | nindent 4 }}
  name: a
  namespace: {{ .Release.Namespace | quote }}
rules: []
`
	changed := strings.Replace(body, "rules: []", "rules:\n- 1", 1)
	for _, tt := range []struct {
		name                   string
		member, userspace, hub []string
		want, wantErr          string
	}{
		{name: "of a member", member: []string{role}, userspace: []string{role},
			want: "{{- if .Values.member.enabled }}\n" + body + "{{- end }}\n"},
		{name: "of both", member: []string{role}, userspace: []string{role}, hub: []string{role},
			want: "{{- if (or .Values.member.enabled .Values.hub.enabled) }}\n" + body + "{{- end }}\n"},
		{name: "in two forms", member: []string{role}, userspace: []string{otherWay},
			want: "{{- if .Values.member.enabled }}\n{{- if .Values.gateway.userspaceWireguard }}\n" + changed + "{{- else }}\n" + body +
				"{{- end }}\n{{- end }}\n"},
		{name: "that differs", member: []string{role}, userspace: []string{role}, hub: []string{otherWay},
			wantErr: "Role tombolo-system/a differs between member and hub"},
		{name: "that is missing", member: []string{role}, wantErr: "Role tombolo-system/a"},
		{name: "of one name", member: []string{role, twin}, userspace: []string{role, twin}, wantErr: "templates/role-a.yaml"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var m manifests
			for texts, objects := range map[*[]string]*[]*unstructured.Unstructured{
				&tt.member: &m.member, &tt.userspace: &m.userspace, &tt.hub: &m.hub,
			} {
				for _, text := range *texts {
					*objects = append(*objects, object(t, text))
				}
			}
			files, err := templates(m)
			if tt.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wantErr) {
					t.Fatalf("error %v, want one with %q", err, tt.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(map[string]string{"templates/role-a.yaml": tt.want}, files); diff != "" {
				t.Errorf("templates (-want +got):\n%s", diff)
			}
		})
	}
}

// The chart has the image and version that it is made with, and writing it again leaves no old file.
func TestRun(t *testing.T) {
	folder := t.TempDir() + "/chart"
	t.Chdir("../..")
	if err := run([]string{"-out", folder}); err != nil {
		t.Fatal(err)
	}
	old := folder + "/templates/old.yaml"
	if err := os.WriteFile(old, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run([]string{"-out", folder, "-version", "v1.2.3", "-image", "localhost:5000/x/tombolo:v1"}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(old); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an old file is still there: %v", err)
	}
	for file, want := range map[string]string{
		"Chart.yaml":  "\nversion: 1.2.3\nappVersion: \"v1\"\n",
		"values.yaml": "\n  repository: localhost:5000/x/tombolo\n",
	} {
		text, err := os.ReadFile(folder + "/" + file)
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%s lacks %q (error %v):\n%s", file, want, err, text)
		}
	}
	if err := run([]string{"-out", folder, "-image", "localhost:5000/tombolo"}); err == nil || !strings.Contains(err.Error(), "has no tag") {
		t.Errorf("an image without a tag: %v", err)
	}
}
