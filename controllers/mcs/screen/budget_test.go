package screen

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

func TestBudgeted(t *testing.T) {
	limits := DefaultLimits()
	var exports []v1alpha1.ExportedService
	for i := range limits.Exports {
		exports = append(exports, v1alpha1.ExportedService{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("old-", i), CreationTimestamp: metav1.NewTime(time.Unix(int64(i), 0))}})
	}
	if within, got := Budgeted(exports, limits, nil); got != nil || len(within) != len(exports) {
		t.Errorf("%d of %d are beyond the budget, %d within", len(got), len(exports), len(within))
	}
	for i := range 300 {
		exports = append(exports, v1alpha1.ExportedService{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("a-flood-", i), CreationTimestamp: metav1.NewTime(time.Unix(int64(limits.Exports), 0))}})
	}
	within, got := Budgeted(exports, limits, nil)
	if len(within) != limits.Exports || len(got) != 300 || !got["a-flood-0"] || got["old-4999"] {
		t.Errorf("%d are beyond the budget", len(got))
	}
	rand.Shuffle(len(exports), func(i, j int) { exports[i], exports[j] = exports[j], exports[i] })
	if _, again := Budgeted(exports, limits, nil); !maps.Equal(got, again) {
		t.Errorf("it depends on the order: %v", cmp.Diff(got, again))
	}
	early := map[string]bool{"a-flood-7": true, "gone": true}
	if within, beyond := Budgeted(exports, limits, early); !within["a-flood-7"] || beyond["a-flood-7"] || len(within) != limits.Exports || len(beyond) != 300 {
		t.Errorf("what was within before is not: %d are within, %d beyond", len(within), len(beyond))
	}
	if s := Budget("west", len(got), limits); s == nil || s.Count != 300 || !strings.Contains(s.Message, `patch member west --type=merge -p '{"spec":{"limits":{"exports":5300}}}'`) {
		t.Errorf("told as %+v", s)
	}
	raised := LimitsOf(&v1alpha1.Member{Spec: v1alpha1.MemberSpec{Limits: v1alpha1.MemberLimits{Exports: 5300}}})
	if _, got := Budgeted(exports, raised, nil); got != nil || raised.Slices != limits.Slices {
		t.Errorf("with the limits %+v %d are beyond", raised, len(got))
	}
}
