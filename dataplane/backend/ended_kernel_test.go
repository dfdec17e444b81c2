//go:build kernel

package backend

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/dataplane/plan"
	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// TestEnded: flows to an endpoint that has gone end in the namespace that the loop works in, though
// another thread ends them. If the endpoint is back before that, they go on.
func TestEnded(t *testing.T) {
	node := netns.New(t)
	key := plan.Key{Address: netip.MustParseAddr("244.0.0.1"), Protocol: serviceport.UDP, Port: 53}
	gone := plan.Destination{Address: netip.MustParseAddr("10.1.0.5"), Port: 53, Weight: 1}
	stays := plan.Destination{Address: netip.MustParseAddr("10.1.0.6"), Port: 53, Weight: 1}
	track := func(port, endpoint string) {
		t.Helper()
		node.Run("conntrack", "-I", "-p", "udp", "-s", "10.2.0.5", "-d", "244.0.0.1", "--sport", port, "--dport", "53",
			"-r", endpoint, "-q", "10.2.0.5", "--reply-port-src", "53", "--reply-port-dst", port, "-t", "100")
	}
	tracked := func() (flows int) {
		return strings.Count(node.Run("conntrack", "-L", "-p", "udp", "-d", "244.0.0.1"), "udp")
	}
	track("1001", "10.1.0.5")
	track("1002", "10.1.0.6")
	if n := tracked(); n != 2 {
		t.Fatalf("%d flows before, want 2", n)
	}
	var want plan.Table
	serve := func(destinations ...plan.Destination) {
		want.Put(types.NamespacedName{Namespace: "default", Name: "web"}, []plan.VirtualService{{Key: key, Destinations: destinations}})
	}
	serve(stays)
	var e ended
	forget := func() (deleted int) {
		t.Helper()
		node.Do(func() {
			var err error
			if deleted, err = e.forget(t.Context()); err != nil {
				t.Fatal(err)
			}
		})
		return deleted
	}
	e.add(Changed{key: {gone, stays}}, &want, v1alpha1.BackendNFTables)
	forget()
	e.deleting.Wait()
	if n := tracked(); n != 1 {
		t.Errorf("%d flows after their endpoint went, want 1", n)
	}
	if n := forget(); n != 1 {
		t.Errorf("%d flows counted, want 1", n)
	}

	track("1001", "10.1.0.5")
	e.next = time.Now().Add(time.Second)
	e.add(Changed{key: {gone, stays}}, &want, v1alpha1.BackendNFTables)
	forget()
	serve(gone, stays)
	e.add(Changed{key: {stays}}, &want, v1alpha1.BackendNFTables)
	e.deleting.Wait()
	if n := tracked(); n != 2 {
		t.Errorf("%d flows after the endpoint was back, want 2", n)
	}
}
