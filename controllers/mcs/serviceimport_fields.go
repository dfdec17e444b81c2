package mcs

import (
	"encoding/json"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// FieldOwner is the name under which tombolo writes ServiceImports. The API server records which
// fields a name wrote (metadata.managedFields). From that record tombolo knows which labels and
// annotations it may remove again.
const FieldOwner = "tombolo-operator"

// Ours tells whether tombolo wrote the ServiceImport. Its label says so or, if somebody removed the
// label, the API server's record does. Any other ServiceImport belongs to another controller.
func Ours(serviceImport *mcsv1beta1.ServiceImport) bool {
	return serviceImport.Labels[v1alpha1.LabelManagedBy] == v1alpha1.ManagedBy ||
		slices.ContainsFunc(serviceImport.ManagedFields, writtenByUs)
}

// KeepOwnFields prepares an object for a cache (a cache.TransformFunc). It removes managed fields,
// but keeps those that tombolo wrote in a ServiceImport: Ours and Amend need them.
func KeepOwnFields(obj any) (any, error) {
	o, ok := obj.(metav1.Object)
	if !ok {
		return obj, nil
	}
	var kept []metav1.ManagedFieldsEntry
	if _, ok := obj.(*mcsv1beta1.ServiceImport); ok {
		for _, entry := range o.GetManagedFields() {
			if writtenByUs(entry) {
				kept = append(kept, entry)
			}
		}
	}
	o.SetManagedFields(kept)
	return obj, nil
}

func writtenByUs(entry metav1.ManagedFieldsEntry) bool {
	return entry.Manager == FieldOwner && entry.Subresource == ""
}

// Amend returns a copy of have with want's spec, labels and annotations, and whether that differs
// from have. Only tombolo writes the spec (KEP-1645, "Importing Services"). Labels and annotations
// that others added stay.
func Amend(have, want *mcsv1beta1.ServiceImport) (*mcsv1beta1.ServiceImport, bool) {
	amended := have.DeepCopy()
	amended.Spec = want.Spec
	var own ownFields
	if hasMore(have.Labels, want.Labels) || hasMore(have.Annotations, want.Annotations) {
		own = parseOwnFields(have.ManagedFields)
	}
	amended.Labels = amendMap(have.Labels, want.Labels, own.labels)
	amended.Annotations = amendMap(have.Annotations, want.Annotations, own.annotations)
	return amended, !equality.Semantic.DeepEqual(have, amended)
}

// amendMap removes from have what is ours and no longer wanted, and adds what is wanted.
func amendMap(have, want map[string]string, own []string) map[string]string {
	amended := map[string]string{}
	for key, value := range have {
		if !slices.Contains(own, key) {
			amended[key] = value
		}
	}
	for key, value := range want {
		amended[key] = value
	}
	return amended
}

func hasMore(have, want map[string]string) bool {
	for key := range have {
		if _, wanted := want[key]; !wanted {
			return true
		}
	}
	return false
}

// ownFields are the keys of the labels and annotations that tombolo wrote.
type ownFields struct{ labels, annotations []string }

// parseOwnFields reads the API server's record (FieldsV1: a set of names, as nested JSON objects).
// It ignores what it cannot read.
func parseOwnFields(entries []metav1.ManagedFieldsEntry) ownFields {
	var own ownFields
	for _, entry := range entries {
		if !writtenByUs(entry) || entry.FieldsV1 == nil {
			continue
		}
		var fields struct {
			Metadata struct {
				Labels      map[string]json.RawMessage `json:"f:labels"`
				Annotations map[string]json.RawMessage `json:"f:annotations"`
			} `json:"f:metadata"`
		}
		if err := json.Unmarshal(entry.FieldsV1.GetRawBytes(), &fields); err != nil {
			continue
		}
		own.labels = append(own.labels, fieldKeys(fields.Metadata.Labels)...)
		own.annotations = append(own.annotations, fieldKeys(fields.Metadata.Annotations)...)
	}
	return own
}

// fieldKeys are the keys of a map whose fields are named "f:<key>".
func fieldKeys(set map[string]json.RawMessage) []string {
	var keys []string
	for name := range set {
		if key, isField := strings.CutPrefix(name, "f:"); isField {
			keys = append(keys, key)
		}
	}
	return keys
}
