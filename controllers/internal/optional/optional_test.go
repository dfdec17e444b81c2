package optional_test

import (
	"context"
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tombolo-net/tombolo/controllers/internal/optional"
)

// reader answers every Get in the same way.
type reader struct {
	client.Reader
	answer *corev1.Service
	err    error
}

func (r reader) Get(_ context.Context, _ client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	if r.answer != nil {
		*into.(*corev1.Service) = *r.answer
	}
	return r.err
}

func TestGet(t *testing.T) {
	unavailable := errors.New("unavailable")
	deleted := metav1.Now()
	for _, tc := range []struct {
		name           string
		reader         reader
		found, serving bool // by Get, by GetUndeleted
		err            string
	}{
		{"there", reader{answer: &corev1.Service{}}, true, true, ""},
		{"being deleted", reader{answer: &corev1.Service{ObjectMeta: metav1.ObjectMeta{DeletionTimestamp: &deleted}}}, true, false, ""},
		{"absent", reader{err: apierrors.NewNotFound(schema.GroupResource{Resource: "services"}, "web")}, false, false, ""},
		{"error", reader{err: unavailable}, false, false, "reading Service shop/web: unavailable"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			key := client.ObjectKey{Namespace: "shop", Name: "web"}
			found, err := optional.Get[corev1.Service](t.Context(), tc.reader, key)
			undeleted, undeletedErr := optional.GetUndeleted[corev1.Service](t.Context(), tc.reader, key)
			if (found != nil) != tc.found || (undeleted != nil) != tc.serving {
				t.Errorf("Get found it: %v, want %v; GetUndeleted found it: %v, want %v", found != nil, tc.found, undeleted != nil, tc.serving)
			}
			for _, err := range []error{err, undeletedErr} {
				if (err != nil) != (tc.err != "") || err != nil && (err.Error() != tc.err || !errors.Is(err, tc.reader.err)) {
					t.Errorf("error %v, want %q", err, tc.err)
				}
			}
		})
	}
}
