package retry

import (
	"errors"
	"fmt"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestResult(t *testing.T) {
	resource := schema.GroupResource{Resource: "things"}
	for _, test := range []struct {
		name   string
		err    error
		behind bool
	}{
		{"none", nil, false},
		{"conflict", fmt.Errorf("writing: %w", apierrors.NewConflict(resource, "a", errors.New("changed"))), true},
		{"already there", apierrors.NewAlreadyExists(resource, "a"), true},
		{"gone", errors.Join(apierrors.NewNotFound(resource, "a")), true},
		{"forbidden", apierrors.NewForbidden(resource, "a", errors.New("no")), false},
	} {
		result, err := Result(test.err)
		if result.IsZero() == test.behind || (err == nil) != (test.behind || test.err == nil) {
			t.Errorf("%s: got %+v, %v", test.name, result, err)
		}
	}
}
