package clusterproperty

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// property is an empty property of that name.
func property(kind schema.GroupVersionKind, name string) *unstructured.Unstructured {
	p := &unstructured.Unstructured{}
	p.SetGroupVersionKind(kind)
	p.SetName(name)
	return p
}

// propertyFor is a property of ours.
func propertyFor(kind schema.GroupVersionKind, name, value string) *unstructured.Unstructured {
	p := property(kind, name)
	p.SetLabels(map[string]string{v1alpha1.LabelManagedBy: v1alpha1.ManagedBy})
	p.Object["spec"] = map[string]any{"value": value}
	return p
}

// valueOf is a property's value, "" if it has none.
func valueOf(p *unstructured.Unstructured) string {
	value, _, _ := unstructured.NestedString(p.Object, "spec", "value") // a value of another type counts as none
	return value
}

func ours(p *unstructured.Unstructured) bool {
	return p.GetLabels()[v1alpha1.LabelManagedBy] == v1alpha1.ManagedBy
}
