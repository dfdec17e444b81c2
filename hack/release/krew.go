package release

import (
	"bytes"
	"text/template"
)

// krewFile is the manifest's file name: krew wants the plugin's name.
const krewFile = "tombolo.yaml"

// krewTemplate follows https://krew.sigs.k8s.io/docs/developer-guide/plugin-manifest.
var krewTemplate = template.Must(template.New(krewFile).Parse(`apiVersion: krew.googlecontainertools.github.com/v1alpha2
kind: Plugin
metadata:
  name: tombolo
spec:
  version: {{ .Version }}
  homepage: https://{{ .Module }}
  shortDescription: Look into a clusterset
  description: |
    Shows what tombolo knows of a clusterset. tombolo makes Services
    reachable across clusters, as the Multi-Cluster Services API says.
  platforms:
{{- range .Downloads }}
  - selector:
      matchLabels:
        os: {{ .OS }}
        arch: {{ .Arch }}
    uri: https://{{ $.Module }}/releases/download/{{ $.Version }}/{{ .Archive }}
    sha256: {{ .SHA256 }}
    bin: {{ .Program }}
{{- end }}
`))

// krewManifest tells krew where the archives of a release are.
func krewManifest(version string, downloads []download) ([]byte, error) {
	var text bytes.Buffer
	err := krewTemplate.Execute(&text, struct {
		Version, Module string
		Downloads       []download
	}{version, modulePath, downloads})
	return text.Bytes(), err
}
