package mcs

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

func wrote(manager, subresource, fields string) metav1.ManagedFieldsEntry {
	return metav1.ManagedFieldsEntry{Manager: manager, Subresource: subresource, FieldsV1: metav1.NewFieldsV1(fields)}
}

func TestAmend(t *testing.T) {
	have := &mcsv1beta1.ServiceImport{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "shop", Name: "web", ResourceVersion: "7", Finalizers: []string{"x/y"},
			Labels:      map[string]string{"exported": "edited", "withdrawn": "b", "theirs": "c"},
			Annotations: map[string]string{"withdrawn": "d", "theirs": "e"},
			ManagedFields: []metav1.ManagedFieldsEntry{
				wrote("kubectl", "", `{"f:metadata":{"f:labels":{"f:theirs":{},"f:exported":{}},"f:annotations":{"f:theirs":{}}}}`),
				wrote(FieldOwner, "", `{"f:metadata":{"f:labels":{".":{},"f:withdrawn":{}},"f:annotations":{".":{},"f:withdrawn":{}}},"f:spec":{}}`),
			},
		},
		Spec: mcsv1beta1.ServiceImportSpec{Type: mcsv1beta1.Headless, IPs: []string{"10.0.0.1"}},
	}
	want := &mcsv1beta1.ServiceImport{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"exported": "a"}},
		Spec:       mcsv1beta1.ServiceImportSpec{Type: mcsv1beta1.Headless},
	}
	before := have.DeepCopy()
	got, changed := Amend(have, want)
	if diff := cmp.Diff(before, have); diff != "" {
		t.Errorf("the input was changed (-want +got):\n%s", diff)
	}
	expected := before.DeepCopy()
	expected.Spec = want.Spec
	expected.Labels = map[string]string{"exported": "a", "theirs": "c"}
	expected.Annotations = map[string]string{"theirs": "e"}
	if diff := cmp.Diff(expected, got); diff != "" || !changed {
		t.Errorf("changed is %v (-want +got):\n%s", changed, diff)
	}
	if _, changed := Amend(got, want); changed {
		t.Error("what was amended differs from what it was amended to")
	}
}

func TestOurs(t *testing.T) {
	labelled := map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy}
	for _, test := range []struct {
		name   string
		labels map[string]string
		fields metav1.ManagedFieldsEntry
		want   bool
	}{
		{"by its label", labelled, wrote("velero", "", "{}"), true},
		{"by the API server's record", nil, wrote(FieldOwner, "", "{}"), true},
		{"somebody else's", map[string]string{v1alpha1.LabelManagedBy: "other"}, wrote("kubectl", "", "{}"), false},
		{"somebody else's, with a status of ours", nil, wrote(FieldOwner, "status", "{}"), false},
	} {
		t.Run(test.name, func(t *testing.T) {
			obj := &mcsv1beta1.ServiceImport{ObjectMeta: metav1.ObjectMeta{
				Labels: test.labels, ManagedFields: []metav1.ManagedFieldsEntry{wrote("apiserver", "", "{"), test.fields},
			}}
			if got := Ours(obj); got != test.want {
				t.Errorf("got %v", got)
			}
			cached, err := KeepOwnFields(obj)
			if got := Ours(cached.(*mcsv1beta1.ServiceImport)); err != nil || got != test.want {
				t.Errorf("from the cache: got %v, %v", got, err)
			}
		})
	}
}

func TestKeepOwnFieldsOfOthers(t *testing.T) {
	slice := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{ManagedFields: []metav1.ManagedFieldsEntry{wrote(FieldOwner, "", "{}")}}}
	if _, err := KeepOwnFields(slice); err != nil || len(slice.ManagedFields) != 0 {
		t.Errorf("%d entries are kept, %v", len(slice.ManagedFields), err)
	}
	if _, err := KeepOwnFields("a tombstone"); err != nil {
		t.Error(err)
	}
}
