package hub

import (
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

func leaseAt(seconds int, exports ...string) *coordinationv1.Lease {
	renewed := metav1.NewMicroTime(time.Unix(int64(seconds), 0))
	return &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{
			Name:        clusterset.LeaseName("west"),
			Labels:      map[string]string{v1alpha1.LabelSourceCluster: "west"},
			Annotations: clusterset.HeartbeatAnnotations(exports),
		},
		Spec: coordinationv1.LeaseSpec{RenewTime: &renewed},
	}
}

// Only a Lease that was renewed before our eyes is believed, whatever its member's clock says.
func TestLiveHeartbeats(t *testing.T) {
	for _, test := range []struct {
		name  string
		times []int // seconds
		want  bool
	}{
		{"found", []int{100}, false},
		{"found again", []int{100, 100}, false},
		{"renewed", []int{100, 110}, true},
		{"the hub was restored", []int{100, 110, 50}, false},
		{"the hub was restored, and the member is there", []int{100, 110, 50, 120}, true},
		{"the clock was set back", []int{1000, 1010, 400, 410}, true},
		{"the hub was restored to what we found", []int{100, 110, 100, 100}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := &heartbeats{}
			for _, s := range test.times {
				h.note(leaseAt(s))
			}
			if got := h.live("west", leaseAt(test.times[len(test.times)-1])); got != test.want {
				t.Errorf("live is %t, want %t", got, test.want)
			}
		})
	}
	h := &heartbeats{}
	h.note(leaseAt(100))
	h.note(leaseAt(110))
	if h.live("west", leaseAt(100)) {
		t.Error("an older Lease is believed because a newer one was")
	}
}

// A Lease that says nothing new is no change, unless it is live for the first time.
func TestHeartbeatNews(t *testing.T) {
	h := &heartbeats{}
	changes := &heartbeatChanges{heartbeats: h, seen: map[v1alpha1.ClusterID]string{}}
	for i, step := range []struct {
		lease *coordinationv1.Lease
		want  bool
	}{
		{leaseAt(100, "a"), false},
		{leaseAt(110, "a"), true},
		{leaseAt(120, "a"), false},
		{leaseAt(130), true},
		{leaseAt(50, "a"), false},
		{leaseAt(140, "a"), true},
	} {
		h.note(step.lease)
		if got := changes.note(step.lease); got != step.want {
			t.Errorf("step %d: changed is %t, want %t", i, got, step.want)
		}
	}
}
