//go:build integration

package endpointslice_test

import (
	"testing"

	"k8s.io/utils/ptr"

	"github.com/tombolo-net/tombolo/test/harness/members"
)

// This cluster's own endpoints get their nodes from its own slices, not from the hub: what it says
// there, as versions before v0.1.0 did, does not count. Of other clusters' endpoints no node counts, even
// where one of this cluster's has that name.
func TestNodesOfEndpoints(t *testing.T) {
	e, r, owner := newEnv(t, "nodes")
	importFrom(t, e, owner, "west", string(members.Own))
	_, own := e.Hub.Publish(t, members.Own, "nodes", "web", []string{"10.1.0.1", "10.1.0.2"})
	_, west := e.Hub.Publish(t, "west", "nodes", "web", []string{"10.2.0.1"}) // on node-1, as this cluster's
	local := members.Slice("nodes", "web-1", "web", "10.1.0.1")
	local.Endpoints[0].NodeName = ptr.To("here")
	e.Make(t, local)
	for name, want := range map[string][]string{own[0].Name: {"here", ""}, west[0].Name: {""}} {
		e.Step(t, r, "nodes", name)
		for i, endpoint := range get(t, e, "nodes", name).Endpoints {
			if got := ptr.Deref(endpoint.NodeName, ""); got != want[i] {
				t.Errorf("%s: %v is on node %q, want %q", name, endpoint.Addresses, got, want[i])
			}
		}
	}
	local.Endpoints[0].NodeName = ptr.To("there")
	if err := e.Update(t.Context(), local); err != nil {
		t.Fatal(err)
	}
	e.Step(t, r, "nodes", own[0].Name)
	if got := ptr.Deref(get(t, e, "nodes", own[0].Name).Endpoints[0].NodeName, ""); got != "there" {
		t.Errorf("the pod has moved: node %q", got)
	}
}
