package gather

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// events puts what happened to tombolo's objects, to the nodes and where tombolo runs into the
// bundle, a line each, the oldest first.
func (g *gathering) events(ctx context.Context) error {
	var all corev1.EventList
	if err := g.List(ctx, &all); err != nil {
		g.lack("events", err)
		return nil
	}
	ours := slices.DeleteFunc(all.Items, func(e corev1.Event) bool { return !g.concerns(&e) })
	if len(ours) == 0 {
		return nil
	}
	slices.SortStableFunc(ours, func(a, b corev1.Event) int { return cmp.Compare(lastSeen(&a).UnixNano(), lastSeen(&b).UnixNano()) })
	var text strings.Builder
	for i := range ours {
		e := &ours[i]
		fmt.Fprintf(&text, "%s %s x%d %s %s/%s %s: %s\n", lastSeen(e).UTC().Format(time.RFC3339), e.Type, max(e.Count, 1),
			e.InvolvedObject.Kind, e.InvolvedObject.Namespace, e.InvolvedObject.Name, e.Reason, e.Message)
	}
	return g.bundle.add(g.facts.Folder+"/events.txt", fmt.Sprintf("events: %d", len(ours)), []byte(text.String()))
}

func (g *gathering) concerns(e *corev1.Event) bool {
	group, _, _ := strings.Cut(e.InvolvedObject.APIVersion, "/")
	return e.Namespace == g.facts.Namespace || slices.Contains(g.facts.Hubs, e.Namespace) || e.InvolvedObject.Kind == "Node" ||
		group == v1alpha1.GroupVersion.Group || group == mcsv1beta1.GroupName ||
		strings.HasPrefix(e.ReportingController, "tombolo") || strings.HasPrefix(e.Source.Component, "tombolo")
}

// lastSeen is when the event happened last. Old and new recorders fill different fields.
func lastSeen(e *corev1.Event) time.Time {
	switch {
	case e.Series != nil:
		return e.Series.LastObservedTime.Time
	case !e.LastTimestamp.IsZero():
		return e.LastTimestamp.Time
	case !e.EventTime.IsZero():
		return e.EventTime.Time
	}
	return e.CreationTimestamp.Time
}
