package clusterset

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

func TestSelected(t *testing.T) {
	shared := &metav1.LabelSelector{MatchLabels: map[string]string{"shared": "yes"}}
	notTest := &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
		{Key: "stage", Operator: metav1.LabelSelectorOpNotIn, Values: []string{"test"}},
	}}
	wrong := &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "stage", Operator: "Like"}}}
	namespace := func(labels map[string]string) *corev1.Namespace {
		return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: labels}}
	}
	tests := []struct {
		name      string
		selector  *metav1.LabelSelector
		namespace *corev1.Namespace
		want      bool
		fails     bool
	}{
		{"no selector", nil, namespace(nil), true, false},
		{"empty selector", &metav1.LabelSelector{}, namespace(nil), true, false},
		{"no namespace", nil, nil, false, false},
		{"labelled", shared, namespace(map[string]string{"shared": "yes"}), true, false},
		{"other value", shared, namespace(map[string]string{"shared": "no"}), false, false},
		{"no labels", shared, namespace(nil), false, false},
		{"expression", notTest, namespace(nil), true, false},
		{"expression against it", notTest, namespace(map[string]string{"stage": "test"}), false, false},
		{"nonsense", wrong, namespace(nil), false, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := Selected(test.selector, test.namespace)
			if got != test.want || (err != nil) != test.fails {
				t.Errorf("got %v, %v, want %v, error %v", got, err, test.want, test.fails)
			}
		})
	}
}

func TestValidateExport(t *testing.T) {
	tests := []struct {
		name    string
		service *corev1.Service
		reason  mcsv1beta1.ServiceExportConditionReason
		valid   bool
	}{
		{"no service", nil, "NoService", false},
		{"ExternalName", &corev1.Service{Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName}}, "InvalidServiceType", false},
		{"ClusterIP", &corev1.Service{Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP}}, "Valid", true},
		{"NodePort", &corev1.Service{Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeNodePort}}, "Valid", true},
		{"LoadBalancer", &corev1.Service{Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer}}, "Valid", true},
		{"headless", &corev1.Service{Spec: corev1.ServiceSpec{ClusterIP: corev1.ClusterIPNone}}, "Valid", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			reason, message, valid := ValidateExport("shop", "web", test.service)
			if reason != test.reason || valid != test.valid {
				t.Errorf("got %s, %v, want %s, %v", reason, valid, test.reason, test.valid)
			}
			if !valid && !strings.Contains(message, "shop/web") {
				t.Errorf("the message does not name the Service: %s", message)
			}
		})
	}
}

func TestJudgeExport(t *testing.T) {
	now := metav1.Now()
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{"shared": "yes"}}
	shared := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"shared": "yes"}}}
	wrong := &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "stage", Operator: "Like"}}}
	tests := []struct {
		name    string
		edit    func(*ExportInput)
		want    ExportFault
		wantErr bool
	}{
		{"allowed", func(*ExportInput) {}, ExportAllowed, false},
		{"its namespace is selected", func(in *ExportInput) { in.Selector, in.Namespace = selector, shared }, ExportAllowed, false},
		{"its namespace is not selected", func(in *ExportInput) { in.Selector, in.Namespace = selector, &corev1.Namespace{} }, ExportNotSelected, false},
		{"its namespace does not exist", func(in *ExportInput) { in.Selector = selector }, ExportNotSelected, false},
		{"the selector cannot be parsed", func(in *ExportInput) { in.Selector, in.Namespace = wrong, shared }, ExportAllowed, true},
		{"removed cluster", func(in *ExportInput) { in.Removed = true }, ExportRemoved, false},
		{"no Service", func(in *ExportInput) { in.Service, in.Removed = nil, true }, ExportInvalid, false},
		{"the Service is being deleted", func(in *ExportInput) { in.Service.DeletionTimestamp = &now }, ExportInvalid, false},
		{"ExternalName", func(in *ExportInput) { in.Service.Spec.Type = corev1.ServiceTypeExternalName }, ExportInvalid, false},
		{"another namespace is listed", func(in *ExportInput) { in.Listed, in.Published = []v1alpha1.NamespacePattern{"shop"}, true }, ExportNotApproved, false},
		{"a system namespace", func(in *ExportInput) { in.Export.Namespace = "default" }, ExportNotApproved, false},
		{"a system namespace, published already", func(in *ExportInput) { in.Export.Namespace, in.Published = "default", true }, ExportAllowed, false},
		{"the operator's namespace", func(in *ExportInput) { in.Export.Namespace, in.Operator = "mesh", "mesh" }, ExportNotApproved, false},
		{"being deleted", func(in *ExportInput) { in.Export.DeletionTimestamp = &now }, ExportDeleted, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			in := ExportInput{Export: &mcsv1beta1.ServiceExport{}, Service: &corev1.Service{}}
			test.edit(&in)
			got, err := JudgeExport(in)
			if got != test.want || (err != nil) != test.wantErr {
				t.Errorf("got %q, %v; want %q", got, err, test.want)
			}
		})
	}
}
