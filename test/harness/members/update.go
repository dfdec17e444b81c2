//go:build integration

package members

import (
	"reflect"
	"testing"

	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Update reads the object of obj's name into obj, calls change, which edits obj, and writes it. If somebody
// else wrote in between, it does so again: the operator under test and the API server may write at any time.
func Update(t *testing.T, c client.Client, obj client.Object, change func()) {
	t.Helper()
	changed(t, c, obj, change, func() error { return c.Update(t.Context(), obj) })
}

// UpdateStatus is Update for the status.
func UpdateStatus(t *testing.T, c client.Client, obj client.Object, change func()) {
	t.Helper()
	changed(t, c, obj, change, func() error { return c.Status().Update(t.Context(), obj) })
}

func changed(t *testing.T, c client.Client, obj client.Object, change func(), write func() error) {
	t.Helper()
	key, kind := client.ObjectKeyFromObject(obj), obj.GetObjectKind().GroupVersionKind()
	if err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		reflect.ValueOf(obj).Elem().SetZero() // decoding adds to what is there
		obj.GetObjectKind().SetGroupVersionKind(kind)
		if err := c.Get(t.Context(), key, obj); err != nil {
			return err
		}
		change()
		return write()
	}); err != nil {
		t.Fatal(err)
	}
}
