package serviceexport

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// Allowed tells whether the ClusterSet lets the namespace export. It reads the namespace only if that matters. An
// error may be that the ClusterSet's selector makes no sense.
func Allowed(ctx context.Context, reader client.Reader, set *v1alpha1.ClusterSet, name string) (bool, error) {
	if set.Spec.ExportNamespaces == nil {
		return true, nil
	}
	namespace := &corev1.Namespace{}
	if err := reader.Get(ctx, client.ObjectKey{Name: name}, namespace); apierrors.IsNotFound(err) {
		namespace = nil
	} else if err != nil {
		return false, fmt.Errorf("reading Namespace %s: %w", name, err)
	}
	return clusterset.Selected(set.Spec.ExportNamespaces, namespace)
}

// PolicyChanged lets through ClusterSets whose policy for exports may have changed.
func PolicyChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, after := e.ObjectOld.(*v1alpha1.ClusterSet).Spec, e.ObjectNew.(*v1alpha1.ClusterSet).Spec
		return before.EndpointsPerSlice != after.EndpointsPerSlice ||
			!equality.Semantic.DeepEqual(before.ExportNamespaces, after.ExportNamespaces)
	}}
}
