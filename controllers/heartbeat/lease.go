package heartbeat

import (
	"context"
	"maps"
	"strconv"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/hub"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

const (
	// renewal is how often the Lease is renewed at least.
	renewal = 10 * time.Second
	// LeaseDuration is how long a member counts as live after a renewal. The operator's leader
	// election uses it, too: an API server that is overloaded or restarted is back within this
	// time.
	LeaseDuration = 40 * time.Second
	// additions is the least time between two renewals that add exports, which may come in numbers.
	// The first is written at once: until then, a hub that loses the export looks as if it never
	// had it.
	additions = 200 * time.Millisecond
)

// due is how long the renewal can wait; zero or less means that it cannot.
func due(have *coordinationv1.Lease, annotations map[string]string, now time.Time) time.Duration {
	if have == nil || have.Spec.RenewTime == nil || have.Spec.RenewTime.After(now) { // our clock was set back
		return 0
	}
	after := renewal
	if !maps.Equal(ours(have.Annotations), annotations) {
		after = 0
		if count(annotations) > count(have.Annotations) {
			after = additions
		}
	}
	return have.Spec.RenewTime.Add(after).Sub(now)
}

func count(annotations map[string]string) int {
	n, err := strconv.Atoi(annotations[v1alpha1.AnnotationPublishedCount])
	if err != nil {
		return -1
	}
	return n
}

// ours are the annotations that this package writes.
func ours(annotations map[string]string) map[string]string {
	picked := map[string]string{}
	for _, key := range []string{v1alpha1.AnnotationPublishedCount, v1alpha1.AnnotationPublishedDigest} {
		if value, ok := annotations[key]; ok {
			picked[key] = value
		}
	}
	return picked
}

func write(ctx context.Context, view hub.View, have *coordinationv1.Lease, annotations map[string]string, now time.Time) error {
	want := &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{
			Namespace:   view.Namespace,
			Name:        clusterset.LeaseName(view.Cluster),
			Labels:      map[string]string{v1alpha1.LabelSourceCluster: string(view.Cluster)},
			Annotations: annotations,
		},
		Spec: coordinationv1.LeaseSpec{
			HolderIdentity:       ptr.To(string(view.Cluster)),
			LeaseDurationSeconds: ptr.To(int32(LeaseDuration / time.Second)),
			RenewTime:            &metav1.MicroTime{Time: now},
		},
	}
	if have == nil {
		return view.Writer.Create(ctx, want)
	}
	want.ResourceVersion = have.ResourceVersion
	return view.Writer.Update(ctx, want)
}
