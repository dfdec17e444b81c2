package gatewaylife

import (
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var begin = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time { return begin.Add(time.Duration(seconds * float64(time.Second))) }

// A step is a look at the Lease at a time: the cache and the API server have the given renewal.
type step struct {
	at       float64 // seconds
	renewal  int     // in the cache
	answered bool    // the API server answers, if it is asked, with the same renewal
	want     pulse
}

func TestPulse(t *testing.T) {
	tests := []struct {
		name  string
		steps []step
	}{
		{"renewed", []step{{0, 1, true, unknown}, {3, 2, true, beating}, {6, 3, true, beating}, {12, 3, true, beating}}},
		{"stops", []step{{0, 1, true, unknown}, {3, 2, true, beating}, {8, 2, true, beating}, {12.9, 2, true, beating}, {13, 2, true, stopped}}},
		{"found silent at the start", []step{{0, 1, true, unknown}, {5, 1, true, unknown}, {9.9, 1, true, unknown}, {10, 1, true, stopped}}},
		{"comes back", []step{{0, 1, true, unknown}, {5, 1, true, unknown}, {10, 1, true, stopped}, {11, 2, true, beating}}},
		{"asked late", []step{{0, 1, true, unknown}, {30, 1, true, unknown}, {34, 1, true, unknown}, {35, 1, true, stopped}}},
		{"nobody answers, then all is well", []step{
			{0, 1, true, unknown}, {3, 2, true, beating}, {8, 2, false, beating}, {13, 2, false, unknown}, {60, 2, false, unknown},
			{61, 2, true, unknown}, {63, 3, true, beating},
		}},
		{"nobody answers, then it is silent", []step{
			{0, 1, true, unknown}, {3, 2, true, beating}, {8, 2, false, beating}, {60, 2, true, unknown}, {65, 2, true, stopped},
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var h heartbeat
			for _, s := range test.steps {
				renewed := metav1.NewMicroTime(begin.Add(-time.Hour + time.Duration(s.renewal)*time.Microsecond)) // its clock is another
				lease := &coordinationv1.Lease{Spec: coordinationv1.LeaseSpec{RenewTime: &renewed}}
				h.see(lease, at(s.at))
				if h.doubtful(at(s.at)) && s.answered {
					h.confirm(at(s.at))
				}
				if got := h.pulse(at(s.at)); got != s.want {
					t.Errorf("at %v s: pulse %d, want %d", s.at, got, s.want)
				}
			}
		})
	}
}
