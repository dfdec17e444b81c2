{{- define "tombolo.image" -}}
{{- $own := empty .Values.image.tag | ternary (index .Chart.Annotations "clusterset.tombolo.dev/image-digest") "" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ with .Values.image.digest | default $own }}@{{ . }}{{ end }}
{{- end }}

{{- define "tombolo.labels" -}}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | trunc 63 | trimSuffix "-" }}
{{- end }}
