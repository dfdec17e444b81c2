package main

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// secureMetrics says whether the chart is to have what config/secure-metrics adds.
const secureMetrics = "(and .Values.member.enabled .Values.secureMetrics.enabled)"

// templates returns a template for each object, by its path in the chart. An object that member and
// hub share must be the same in both, or the error names it.
func templates(m manifests) (map[string]string, error) {
	files := map[string]string{}
	add := func(o *unstructured.Unstructured, condition, text string, err error) error {
		if err != nil {
			return fmt.Errorf("making the template of %s: %w", describe(o), err)
		}
		if _, twice := files[path(o)]; twice {
			return fmt.Errorf("%s and another object have the file %s", describe(o), path(o))
		}
		files[path(o)] = guarded(append(conditionsOf(o), condition), text)
		return nil
	}
	for _, o := range m.member {
		if o.GetKind() == "Namespace" {
			continue // the release's, which Helm makes
		}
		condition := ".Values.member.enabled"
		if shared := find(m.hub, o); shared != nil {
			if !equality.Semantic.DeepEqual(shared.Object, o.Object) {
				return nil, fmt.Errorf("%s differs between member and hub", describe(o))
			}
			condition = "(or .Values.member.enabled .Values.hub.enabled)"
		}
		text, err := memberTemplate(o, find(m.userspace, o))
		if err := add(o, condition, text, err); err != nil {
			return nil, err
		}
	}
	for _, o := range m.secure {
		if find(m.member, o) != nil {
			continue // workload has what differs in it
		}
		text, err := objectTemplate(o)
		text = inNamespace(text, v1alpha1.DefaultNamespace, ".Release.Namespace")
		if err := add(o, secureMetrics, text, err); err != nil {
			return nil, err
		}
	}
	for _, o := range m.hub {
		if find(m.member, o) != nil {
			continue
		}
		text, err := hubTemplate(o)
		if err := add(o, ".Values.hub.enabled", text, err); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// memberTemplate is an object of a member in the release's namespace. If it differs on nodes without
// WireGuard, it has both forms.
func memberTemplate(o, userspace *unstructured.Unstructured) (string, error) {
	if userspace == nil {
		return "", errors.New("the manifests with userspace WireGuard lack it")
	}
	plain, err := objectTemplate(o)
	if err != nil || equality.Semantic.DeepEqual(o.Object, userspace.Object) {
		return inNamespace(plain, v1alpha1.DefaultNamespace, ".Release.Namespace"), err
	}
	variant, err := objectTemplate(userspace)
	if err != nil {
		return "", err
	}
	both := "{{- if .Values.gateway.userspaceWireguard }}\n" + variant + "{{- else }}\n" + plain + "{{- end }}\n"
	return inNamespace(both, v1alpha1.DefaultNamespace, ".Release.Namespace"), nil
}

// hubTemplate is an object of the hub in the hub's namespace.
func hubTemplate(o *unstructured.Unstructured) (string, error) {
	text, err := objectTemplate(o)
	return inNamespace(text, v1alpha1.DefaultHubNamespace, ".Values.hub.namespace"), err
}

// objectTemplate is an object with everything in it that values decide.
func objectTemplate(o *unstructured.Unstructured) (string, error) {
	o = o.DeepCopy()
	s := &slots{}
	labels := o.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	if _, isHub := labels[v1alpha1.LabelClusterSet]; isHub {
		labels[v1alpha1.LabelClusterSet] = s.add("{{ .Values.hub.clusterSetID | quote }}")
	}
	labels[s.add(`{{- include "tombolo.labels" . | nindent 4 }}`)] = ""
	o.SetLabels(labels)
	var err error
	switch o.GetKind() {
	case "CustomResourceDefinition", "Namespace":
		err = keep(o, s)
	case "Deployment", "DaemonSet":
		err = workload(o, s)
	}
	if err != nil {
		return "", err
	}
	return s.marshal(o.Object)
}

// keep makes Helm leave the object, and with it what users made in it, when the release goes.
func keep(o *unstructured.Unstructured, s *slots) error {
	const where, policy = "{{- if .Values.crds.keep }}\n", "helm.sh/resource-policy: keep\n{{- end }}"
	if len(o.GetAnnotations()) == 0 {
		return unstructured.SetNestedField(o.Object, "", "metadata", s.add(where+"annotations:\n  "+policy))
	}
	return unstructured.SetNestedField(o.Object, "", "metadata", "annotations", s.add(where+policy))
}

// conditionsOf says on which values the object depends because of its kind.
func conditionsOf(o *unstructured.Unstructured) []string {
	switch o.GetKind() {
	case "CustomResourceDefinition":
		return []string{".Values.crds.enabled"}
	case "PodMonitor":
		return []string{".Values.podMonitor.enabled", "(not .Values.secureMetrics.enabled)"}
	case "ServiceMonitor": // takes the place of the PodMonitor
		return []string{".Values.podMonitor.enabled"}
	case "PrometheusRule":
		return []string{".Values.prometheusRule.enabled"}
	case "ConfigMap": // the only ones
		return []string{".Values.grafanaBoards.enabled"}
	case "NetworkPolicy":
		return []string{".Values.networkPolicy.enabled"}
	case "Namespace": // one that Helm has made is not the chart's
		return []string{"(ne .Values.hub.namespace .Release.Namespace)"}
	}
	return nil
}

// guarded renders the text only where all conditions hold.
func guarded(conditions []string, text string) string {
	if len(conditions) == 1 {
		return "{{- if " + conditions[0] + " }}\n" + text + "{{- end }}\n"
	}
	return "{{- if and " + strings.Join(conditions, " ") + " }}\n" + text + "{{- end }}\n"
}

// inNamespace puts a value in the place of a namespace's name.
func inNamespace(text, name, value string) string {
	whole := regexp.MustCompile(`(?m): ` + regexp.QuoteMeta(name) + `$`)
	text = whole.ReplaceAllLiteralString(text, ": {{ "+value+" | quote }}")
	return strings.ReplaceAll(text, name, "{{ "+value+" }}")
}

func find(objects []*unstructured.Unstructured, o *unstructured.Unstructured) *unstructured.Unstructured {
	i := slices.IndexFunc(objects, func(other *unstructured.Unstructured) bool { return describe(other) == describe(o) })
	if i < 0 {
		return nil
	}
	return objects[i]
}

// describe names the object for people, and no other object.
func describe(o *unstructured.Unstructured) string {
	return o.GetKind() + " " + strings.TrimPrefix(o.GetNamespace()+"/"+o.GetName(), "/")
}

// path is where the chart has the object's template.
func path(o *unstructured.Unstructured) string {
	if o.GetKind() == "CustomResourceDefinition" {
		return "templates/crds/" + o.GetName() + ".yaml"
	}
	return fmt.Sprintf("templates/%s-%s.yaml", strings.ToLower(o.GetKind()), o.GetName())
}
