package install

import "text/template"

// memberOnHub is what the hub's admin makes for a member.
var memberOnHub = template.Must(template.New("member").Parse(`apiVersion: v1
kind: ServiceAccount
metadata:
  name: member-{{ .Name }}
  namespace: {{ .Namespace }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: member-{{ .Name }}
  namespace: {{ .Namespace }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: tombolo-member
subjects:
- kind: ServiceAccount
  name: member-{{ .Name }}
  namespace: {{ .Namespace }}
---
apiVersion: v1
kind: Secret
type: kubernetes.io/service-account-token
metadata:
  name: member-{{ .Name }}
  namespace: {{ .Namespace }}
  annotations:
    kubernetes.io/service-account.name: member-{{ .Name }}
---
apiVersion: clusterset.tombolo.dev/v1alpha1
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
