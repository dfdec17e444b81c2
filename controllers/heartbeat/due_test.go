package heartbeat

import (
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tombolo-net/tombolo/internal/clusterset"
)

func TestDue(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	for _, test := range []struct {
		name        string
		ago         time.Duration // since the renewal
		said, means []string
		want        time.Duration
	}{
		{"just renewed", 0, []string{"a"}, []string{"a"}, renewal},
		{"time to renew", renewal, []string{"a"}, []string{"a"}, 0},
		{"something goes", 0, []string{"a"}, nil, 0},
		{"something comes", 0, nil, []string{"a"}, additions},
		{"the clock was set back", -10 * time.Minute, []string{"a"}, []string{"a"}, 0},
		{"the clock was set back, and something goes", -10 * time.Minute, []string{"a"}, nil, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			renewed := metav1.NewMicroTime(now.Add(-test.ago))
			lease := &coordinationv1.Lease{Spec: coordinationv1.LeaseSpec{RenewTime: &renewed}}
			lease.Annotations = clusterset.HeartbeatAnnotations(test.said)
			if got := due(lease, clusterset.HeartbeatAnnotations(test.means), now); got != test.want {
				t.Errorf("due in %v, want %v", got, test.want)
			}
		})
	}
}
