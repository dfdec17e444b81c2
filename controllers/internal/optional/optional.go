// Package optional owns how controllers read an object that need not exist. Whether its absence is
// a fault is for the caller to say.
package optional

import (
	"context"
	"fmt"
	"reflect"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// object is a pointer to T that a client can read.
type object[T any] interface {
	*T
	client.Object
}

// Get returns the object, nil if there is none. The error names the kind and the key.
func Get[T any, P object[T]](ctx context.Context, reader client.Reader, key client.ObjectKey, options ...client.GetOption) (P, error) {
	found := P(new(T))
	if err := reader.Get(ctx, key, found, options...); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, nil
		}
		return nil, fmt.Errorf("reading %s %s: %w", reflect.TypeFor[T]().Name(), name(key), err)
	}
	return found, nil
}

// GetUndeleted returns the object, nil if there is none or if it is being deleted.
func GetUndeleted[T any, P object[T]](ctx context.Context, reader client.Reader, key client.ObjectKey, options ...client.GetOption) (P, error) {
	found, err := Get[T, P](ctx, reader, key, options...)
	if err != nil || found == nil || found.GetDeletionTimestamp() != nil {
		return nil, err
	}
	return found, nil
}

// ClusterSet returns this cluster's one ClusterSet, nil if there is none.
func ClusterSet(ctx context.Context, reader client.Reader) (*v1alpha1.ClusterSet, error) {
	return Get[v1alpha1.ClusterSet](ctx, reader, client.ObjectKey{Name: v1alpha1.ClusterSetName})
}

// name is the key without the slash that String puts before objects without a namespace.
func name(key client.ObjectKey) string {
	if key.Namespace == "" {
		return key.Name
	}
	return key.String()
}
