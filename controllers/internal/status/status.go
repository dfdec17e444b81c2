// Package status owns how controllers write an object's status: conditions with the generation that
// they speak of, and one patch, only if something differs. What a status says is the controllers'
// own.
package status

import (
	"context"
	"fmt"
	"reflect"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// SetConditions makes the changes part of conditions, which are those of the object.
func SetConditions(of client.Object, conditions *[]metav1.Condition, changes ...metav1.Condition) {
	for _, change := range changes {
		change.ObservedGeneration = of.GetGeneration()
		meta.SetStatusCondition(conditions, change)
	}
}

// SetClusterSetCondition writes one condition of the ClusterSet, of which other controllers write
// others. set stays as it is.
func SetClusterSetCondition(ctx context.Context, c client.Client, set *v1alpha1.ClusterSet, condition metav1.Condition) error {
	want := set.DeepCopy()
	SetConditions(set, &want.Status.Conditions, condition)
	return PatchClusterSet(ctx, c, set, want)
}

// RemoveClusterSetCondition makes the ClusterSet have no condition of that type.
func RemoveClusterSetCondition(ctx context.Context, c client.Client, set *v1alpha1.ClusterSet, conditionType string) error {
	want := set.DeepCopy()
	meta.RemoveStatusCondition(&want.Status.Conditions, conditionType)
	return PatchClusterSet(ctx, c, set, want)
}

// Patch writes the status of want, which is have but for its status, if they differ. It is for a
// status in which nobody else writes the same lists: a merge patch replaces a list as a whole.
func Patch(ctx context.Context, c client.Client, have, want client.Object, options ...client.SubResourcePatchOption) error {
	return patch(ctx, c, have, want, client.MergeFrom(have), options)
}

// PatchShared is Patch for a status with a list that several write, such as the conditions of the
// ClusterSet. The write is refused if the object is no longer as in have, so that nobody undoes
// what another wrote. The error is then a conflict (retry.Behind): the cache was behind.
func PatchShared(ctx context.Context, c client.Client, have, want client.Object, options ...client.SubResourcePatchOption) error {
	locked := client.MergeFromWithOptions(have, client.MergeFromWithOptimisticLock{})
	return patch(ctx, c, have, want, locked, options)
}

func patch(ctx context.Context, c client.Client, have, want client.Object, patch client.Patch, options []client.SubResourcePatchOption) error {
	if equality.Semantic.DeepEqual(have, want) {
		return nil
	}
	if err := c.Status().Patch(ctx, want, patch, options...); err != nil {
		kind := reflect.TypeOf(have).Elem().Name()
		return fmt.Errorf("writing the status of %s %s: %w", kind, client.ObjectKeyFromObject(have), err)
	}
	return nil
}
