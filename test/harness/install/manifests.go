package install

import "text/template"

// memberOnHub is what the hub's admin approves.
var memberOnHub = template.Must(template.New("member").Parse(`apiVersion: clusterset.tombolo.dev/v1alpha1
kind: Member
metadata:
  name: {{ .Name }}
  namespace: {{ .Namespace }}
spec:
  index: {{ .Index }}
  region: {{ .Name }}
  cidrs:
{{- range .CIDRs }}
  - {{ . }}
{{- end }}
`))

// clusterSet is what the member's admin makes.
var clusterSet = template.Must(template.New("clusterset").Parse(`apiVersion: v1
kind: Secret
metadata:
  name: {{ .Secret }}
  namespace: {{ .Namespace }}
data:
{{- range $key, $value := .Access }}
  {{ $key }}: {{ $value }}
{{- end }}
---
apiVersion: clusterset.tombolo.dev/v1alpha1
kind: ClusterSet
metadata:
  name: default
spec:
  clusterSetID: {{ .ClusterSetID }}
  clusterID: {{ .Name }}
  hub:
    server: {{ .Server }}
    secretRef:
      name: {{ .Secret }}
  dns: Managed
`))
