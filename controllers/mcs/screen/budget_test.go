package screen

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

func TestBeyondBudget(t *testing.T) {
	limits := DefaultLimits()
	var exports []v1alpha1.ExportedService
	for i := range limits.Exports {
		exports = append(exports, v1alpha1.ExportedService{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("old-", i), CreationTimestamp: metav1.NewTime(time.Unix(int64(i), 0))}})
	}
	if got := BeyondBudget(exports, limits); got != nil {
		t.Errorf("%d of %d are beyond the budget", len(got), len(exports))
	}
	for i := range 300 {
		exports = append(exports, v1alpha1.ExportedService{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("a-flood-", i), CreationTimestamp: metav1.NewTime(time.Unix(int64(limits.Exports), 0))}})
	}
	got := BeyondBudget(exports, limits)
	if len(got) != 300 || !got["a-flood-0"] || got["old-4999"] {
		t.Errorf("%d are beyond the budget", len(got))
	}
	rand.Shuffle(len(exports), func(i, j int) { exports[i], exports[j] = exports[j], exports[i] })
	if diff := cmp.Diff(got, BeyondBudget(exports, limits)); diff != "" {
		t.Errorf("it depends on the order (-want +got):\n%s", diff)
	}
	if s := Budget("west", len(got), limits); s == nil || s.Count != 300 || !strings.Contains(s.Message, `patch member west --type=merge -p '{"spec":{"limits":{"exports":5300}}}'`) {
		t.Errorf("told as %+v", s)
	}
	raised := LimitsOf(&v1alpha1.Member{Spec: v1alpha1.MemberSpec{Limits: v1alpha1.MemberLimits{Exports: 5300}}})
	if got := BeyondBudget(exports, raised); got != nil || raised.Slices != limits.Slices {
		t.Errorf("with the limits %+v %d are beyond", raised, len(got))
	}
}
