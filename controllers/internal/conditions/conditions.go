// Package conditions owns how several controllers write conditions of the one ClusterSet, each its own, without undoing
// each other's: a merge patch replaces the whole list, so it is refused if the list was changed meanwhile.
package conditions

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// Set makes the condition one of the ClusterSet's, and writes nothing if it is. A conflict (retry.Behind) means that the
// cache was behind. set stays as it is.
func Set(ctx context.Context, c client.Client, set *v1alpha1.ClusterSet, condition metav1.Condition) error {
	want := set.DeepCopy()
	condition.ObservedGeneration = set.Generation
	if !meta.SetStatusCondition(&want.Status.Conditions, condition) {
		return nil
	}
	return Patch(ctx, c, set, want)
}

// Remove makes the ClusterSet have no condition of that type.
func Remove(ctx context.Context, c client.Client, set *v1alpha1.ClusterSet, conditionType string) error {
	want := set.DeepCopy()
	if !meta.RemoveStatusCondition(&want.Status.Conditions, conditionType) {
		return nil
	}
	return Patch(ctx, c, set, want)
}

// Patch writes the status of want, unless the ClusterSet is no longer what it is in have.
func Patch(ctx context.Context, c client.Client, have, want *v1alpha1.ClusterSet) error {
	patch := client.MergeFromWithOptions(have, client.MergeFromWithOptimisticLock{})
	if err := c.Status().Patch(ctx, want, patch); err != nil {
		return fmt.Errorf("writing the status of ClusterSet %s: %w", have.Name, err)
	}
	return nil
}
