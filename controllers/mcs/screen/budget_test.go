package screen

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

func TestBeyondBudget(t *testing.T) {
	var exports []v1alpha1.ExportedService
	for i := range MaxExports {
		exports = append(exports, v1alpha1.ExportedService{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("old-", i), CreationTimestamp: metav1.NewTime(time.Unix(int64(i), 0))}})
	}
	if got := BeyondBudget(exports); got != nil {
		t.Errorf("%d of %d are beyond the budget", len(got), len(exports))
	}
	for i := range 300 {
		exports = append(exports, v1alpha1.ExportedService{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("a-flood-", i), CreationTimestamp: metav1.NewTime(time.Unix(MaxExports, 0))}})
	}
	got := BeyondBudget(exports)
	if len(got) != 300 || !got["a-flood-0"] || got["old-4999"] {
		t.Errorf("%d are beyond the budget", len(got))
	}
	rand.Shuffle(len(exports), func(i, j int) { exports[i], exports[j] = exports[j], exports[i] })
	if diff := cmp.Diff(got, BeyondBudget(exports)); diff != "" {
		t.Errorf("it depends on the order (-want +got):\n%s", diff)
	}
	if s := Budget("west", len(got)); s == nil || s.Count != 300 {
		t.Errorf("told as %+v", s)
	}
}
