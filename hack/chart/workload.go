package main

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// workload lets the values decide about a Deployment or DaemonSet named tombolo-<part>, whose values
// are in .Values.<part>.
func workload(o *unstructured.Unstructured, s *slots) error {
	part := strings.TrimPrefix(o.GetName(), "tombolo-")
	if o.GetKind() == "Deployment" {
		replicas := s.add("{{ .Values." + part + ".replicas }}")
		if err := unstructured.SetNestedField(o.Object, replicas, "spec", "replicas"); err != nil {
			return err
		}
	}
	if err := unstructured.SetNestedField(o.Object, "", "spec", "template", "metadata", "labels",
		s.add("{{- if .Values.secureMetrics.enabled }}\napp.kubernetes.io/part-of: tombolo\n{{- end }}")); err != nil {
		return err
	}
	pod, found, err := unstructured.NestedMap(o.Object, "spec", "template", "spec")
	if err != nil || !found {
		return fmt.Errorf("reading spec.template.spec: found %v: %w", found, err)
	}
	pod[s.add(`{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
- name: {{ . | quote }}
{{- end }}
{{- end }}`)] = ""
	for _, list := range []string{"initContainers", "containers"} {
		containers, _, err := unstructured.NestedSlice(pod, list)
		if err != nil {
			return err
		}
		for _, c := range containers {
			container, ok := c.(map[string]any)
			if !ok {
				return fmt.Errorf("%s has an item that is no container", list)
			}
			if err := image(container, part, s); err != nil {
				return err
			}
		}
		if len(containers) > 0 {
			pod[list] = containers
		}
	}
	if part == "gateway" {
		selector, _, err := unstructured.NestedMap(pod, "nodeSelector")
		if err != nil {
			return err
		}
		selector[s.add("{{- with .Values.gateway.nodeSelector }}\n{{- toYaml . | nindent 8 }}\n{{- end }}")] = ""
		pod["nodeSelector"] = selector
	}
	return unstructured.SetNestedMap(o.Object, pod, "spec", "template", "spec")
}

// image lets the values decide about a container, and about the resources and the environment of the
// one that is named after the part.
func image(container map[string]any, part string, s *slots) error {
	container["image"] = s.add(`{{ include "tombolo.image" . }}`)
	container["imagePullPolicy"] = s.add("{{ .Values.image.pullPolicy }}")
	if container["name"] != part {
		return nil
	}
	if err := secure(container, part, s); err != nil {
		return err
	}
	usual, err := yaml.Marshal(container["resources"])
	if err != nil {
		return err
	}
	delete(container, "resources")
	values := ".Values." + part + ".resources"
	container[s.add("resources:\n{{- if "+values+" }}\n{{- toYaml "+values+" | nindent 10 }}\n{{- else }}\n  "+
		strings.ReplaceAll(strings.TrimSpace(string(usual)), "\n", "\n  ")+"\n{{- end }}")] = ""
	env, _, err := unstructured.NestedSlice(container, "env")
	if err != nil {
		return err
	}
	container["env"] = append(env, s.add(`{{- with .Values.apiServer.host }}
- name: KUBERNETES_SERVICE_HOST
  value: {{ . | quote }}
- name: KUBERNETES_SERVICE_PORT
  value: {{ $.Values.apiServer.port | quote }}
{{- end }}`))
	return nil
}

// secure lets the values decide whether the container serves metrics securely, as config/secure-metrics
// has it.
func secure(container map[string]any, part string, s *slots) error {
	const where = "{{- if .Values.secureMetrics.enabled }}\n"
	args, _, err := unstructured.NestedSlice(container, "args")
	if err != nil {
		return err
	}
	container["args"] = append(args, s.add(where+"- --secure-metrics\n{{- end }}"))
	if part != "operator" {
		return nil // their probes are at 127.0.0.1
	}
	for _, probe := range []string{"livenessProbe", "readinessProbe"} {
		if err := unstructured.SetNestedField(container, "", probe, "httpGet", s.add(where+"scheme: HTTPS\n{{- end }}")); err != nil {
			return err
		}
	}
	return nil
}
