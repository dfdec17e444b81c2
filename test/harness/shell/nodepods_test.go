package shell

import (
	"strings"
	"testing"
)

func TestNodePods(t *testing.T) {
	got := NodePods("tools", []string{"east-control-plane", "east-worker"})
	for _, want := range []string{"kind: Namespace", "metadata: {name: east-worker, namespace: tools}", "nodeName: east-control-plane"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %s", want, got)
		}
	}
	if got := clusterOf("east-control-plane"); got != "east" {
		t.Errorf("east-control-plane is of %s", got)
	}
}
