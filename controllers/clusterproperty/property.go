package clusterproperty

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// groupKind is the kind of a property.
var groupKind = schema.GroupKind{Group: "about.k8s.io", Kind: "ClusterProperty"}

// crdName is the name of its CRD.
const crdName = "clusterproperties.about.k8s.io"

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

// crdMetadata is empty metadata of a CRD.
func crdMetadata() *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{
		TypeMeta: metav1.TypeMeta{APIVersion: "apiextensions.k8s.io/v1", Kind: "CustomResourceDefinition"},
	}
}
