//go:build integration

package operator_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// How much a hostile member writes in TestFlood: what two cores carry beside the API servers of
// three clusters. Budgets are for more (screen.MaxExports), and have tests of their own.
const (
	floodExports = 400
	flips        = 10 * time.Millisecond // between two changes of one object
)

// While one member floods the hub, what the others change still arrives. When the flood ends, all
// heals.
func TestFlood(t *testing.T) {
	s := newScene(t, "east", "north")
	east := s.members["east"]
	east.offer(t, "web", "10.1.0.1")
	east.export(t, "web")
	s.wantAll(t, "web", 1)
	w := s.witness(t)

	h := s.hostile(t, "west", v1alpha1.MemberSpec{Index: 3, CIDRs: []v1alpha1.CIDR{"10.3.0.0/16"}})
	ctx, end := context.WithCancel(t.Context())
	var flood sync.WaitGroup
	flooded := make(chan struct{})
	flood.Go(func() { h.flip(ctx, t) })
	flood.Go(func() {
		defer close(flooded)
		for i := range floodExports {
			if err := h.Create(ctx, h.exportOf(s.namespace, fmt.Sprint("flood-", i))); err != nil {
				return // ctx has ended
			}
		}
	})
	honest := 1
	for ended := false; !ended || honest < 4; honest++ {
		name := fmt.Sprint("during-", honest)
		east.offer(t, name, fmt.Sprintf("10.1.1.%d", honest))
		start := time.Now()
		east.export(t, name)
		s.wantAll(t, name, 1)
		t.Logf("under the flood, an export arrives after %v", time.Since(start).Round(time.Millisecond))
		select {
		case <-flooded:
			ended = true
		case <-time.After(time.Second):
		}
	}
	end()
	flood.Wait()
	w.none(t, "under the flood")

	member := &v1alpha1.Member{}
	if err := s.hub.Get(t.Context(), client.ObjectKey{Namespace: s.namespace, Name: "west"}, member); err != nil {
		t.Fatal(err)
	}
	member.Spec.Removed = true
	if err := s.hub.Update(t.Context(), member); err != nil {
		t.Fatal(err)
	}
	s.endOfHostility(t)
	for _, m := range s.members {
		deadline := time.Now().Add(2 * time.Minute)
		for left := s.imports(t, m); left != honest; left = s.imports(t, m) {
			if time.Now().After(deadline) {
				t.Fatalf("%s has %d imports after the flood, want %d", m.Name(), left, honest)
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
}

// flip changes one of the hostile member's exports over and over, until ctx ends.
func (h hostile) flip(ctx context.Context, t *testing.T) {
	export := h.exportOf(h.scene.namespace, "flip")
	if err := h.Create(ctx, export); err != nil {
		t.Error(err)
		return
	}
	changes, start := 0, time.Now()
	for ticker := time.NewTicker(flips); ctx.Err() == nil; <-ticker.C {
		changes++
		export.Spec.Ports[0].Port = int32(1 + changes%2)
		if err := h.Update(ctx, export); err != nil {
			break // ctx has ended
		}
	}
	t.Logf("%d changes of one object in %v", changes, time.Since(start).Round(time.Second))
}

// imports is how many Services the member imports into the scene's namespace.
func (s *scene) imports(t *testing.T, m *member) int {
	t.Helper()
	list := &mcsv1beta1.ServiceImportList{}
	if err := m.List(t.Context(), list, client.InNamespace(s.namespace)); err != nil {
		t.Fatal(err)
	}
	return len(list.Items)
}
