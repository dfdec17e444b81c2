//go:build e2e

package hostile

import (
	"strings"
	"testing"

	"github.com/tombolo-net/tombolo/test/harness/loadpod"
)

// audience: what is exported to another cluster only, west neither imports nor reaches. When the policy names west it
// does, and no more when it does not again.
func (s *site) audience(t *testing.T) {
	policy := func(cluster string) string {
		return "{apiVersion: clusterset.tombolo.dev/v1alpha1, kind: ExportPolicy, metadata: {name: closed, namespace: hostile}, spec: {targetRef: {name: closed}, clusters: [" + cluster + "]}}"
	}
	export := policy("north") + "\n---\n" + loadpod.Service(namespace, "closed", "closed")
	if err := s.Apply(t.Context(), victim, export); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if _, err := s.Kubectl(t.Context(), victim, "-n", namespace, "delete", "service,serviceexports.multicluster.x-k8s.io,exportpolicies", "closed"); err != nil {
			t.Error(err)
		}
	}()
	imported := func(cluster string) bool {
		out, err := s.Kubectl(t.Context(), cluster, "-n", namespace, "get", "serviceimports.multicluster.x-k8s.io", "--output", "name")
		if err != nil {
			t.Error(err)
		}
		return strings.Contains(out+"\n", "/closed\n")
	}
	shot := []shot{s.fromGateway()[0]} // to the pod closed, and its port that is exported now
	s.eventually(t, "east imports it itself", func() bool { return imported(victim) })
	for _, step := range []struct {
		cluster string
		open    bool
	}{{"north", false}, {attacker, true}, {"north", false}} {
		if err := s.Apply(t.Context(), victim, policy(step.cluster)); err != nil {
			t.Fatal(err)
		}
		s.eventually(t, "exported to "+step.cluster+", west imports it or not", func() bool { return imported(attacker) == step.open })
		s.until(t, step.open, shot)
	}
}
