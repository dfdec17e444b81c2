package gather

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/tombolo-net/tombolo/cli/snapshot"
)

// events puts what happened to tombolo's objects, to the nodes and where tombolo runs into the
// bundle, a line each, the oldest first.
func (g *gathering) events(ctx context.Context) error {
	var all corev1.EventList
	if err := g.List(ctx, &all); err != nil {
		g.lack("events", err)
		return nil
	}
	here := append(slices.Clone(g.facts.Hubs), g.facts.Namespace)
	ours := slices.DeleteFunc(all.Items, func(e corev1.Event) bool { return !snapshot.Concerns(&e, here...) })
	if len(ours) == 0 {
		return nil
	}
	slices.SortStableFunc(ours, func(a, b corev1.Event) int {
		return cmp.Compare(snapshot.LastSeen(&a).UnixNano(), snapshot.LastSeen(&b).UnixNano())
	})
	var text strings.Builder
	for i := range ours {
		e := &ours[i]
		fmt.Fprintf(&text, "%s %s x%d %s %s/%s %s: %s\n", snapshot.LastSeen(e).UTC().Format(time.RFC3339), e.Type, max(e.Count, 1),
			e.InvolvedObject.Kind, e.InvolvedObject.Namespace, e.InvolvedObject.Name, e.Reason, e.Message)
	}
	return g.bundle.add(g.facts.Folder+"/events.txt", fmt.Sprintf("events: %d", len(ours)), []byte(text.String()))
}
