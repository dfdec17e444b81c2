package clusterset

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

func TestServed(t *testing.T) {
	tests := []struct {
		name string
		edit func(*mcsv1beta1.ServiceImport)
		want bool
	}{
		{"tombolo's", func(*mcsv1beta1.ServiceImport) {}, true},
		{"of another controller", func(si *mcsv1beta1.ServiceImport) { si.Labels[v1alpha1.LabelManagedBy] = "other" }, false},
		{"without labels", func(si *mcsv1beta1.ServiceImport) { si.Labels = nil }, false},
		{"headless", func(si *mcsv1beta1.ServiceImport) { si.Spec.Type = mcsv1beta1.Headless }, false},
		{"being deleted", func(si *mcsv1beta1.ServiceImport) { si.DeletionTimestamp = &metav1.Time{} }, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := Served(editedImport(test.edit)); got != test.want {
				t.Errorf("served: %t, want %t", got, test.want)
			}
		})
	}
}
