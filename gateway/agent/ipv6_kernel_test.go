//go:build kernel

package agent

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// ready returns an error unless the gateway says that it is ready, with these words.
func (g *testGateway) ready(t *testing.T, words string) error {
	t.Helper()
	node := &v1alpha1.GatewayNode{}
	if err := g.client.Get(t.Context(), client.ObjectKey{Namespace: kernelTestNamespace, Name: g.name}, node); err != nil {
		return err
	}
	c := meta.FindStatusCondition(node.Status.Conditions, v1alpha1.ConditionReady)
	if c == nil || c.Status != "True" || !strings.Contains(c.Message, words) {
		return fmt.Errorf("condition %+v, want it true with %q", c, words)
	}
	return nil
}

// TestWithoutIPv6: a gateway on a node without IPv6, by sysctl or because the kernel has none, is
// ready, carries IPv4 and says that IPv6 is left out. It has IPv6 when that comes back.
func TestWithoutIPv6(t *testing.T) {
	wire := netns.NewWire(t)
	east := newTestCluster("east", 1, "10.1.0.0/16", "fd00:10:1::/48")
	west := newTestCluster("west", 2, "10.2.0.0/18", "fd00:10:2::/48")
	e, w := east.addGateway(t, wire, 0, "192.0.2.10"), west.addGateway(t, wire, 1, "192.0.2.21")
	w.ns.SetIPv6(false, "all", "default", "lo")
	for _, g := range []*testGateway{e, w} {
		g.start(t)
		g.giveLane(t)
	}
	east.learn(t, west)
	west.learn(t, east)
	e.waitLink(t, w, v1alpha1.LinkUp)
	w.waitLink(t, e, v1alpha1.LinkUp)
	waitFor(t, "the condition", func() error { return w.ready(t, "IPv6 is left out: ") })
	w.ping(t, e.pod(), "-I", w.pod())
	if !netns.KernelHasIPv6() {
		return // it never comes back
	}
	w.ns.SetIPv6(true, "all", "default", "lo")
	w.ns.Run("ip", "address", "add", w.pod6()+"/128", "dev", "lo", "nodad")
	waitFor(t, "the condition", func() error {
		if err := w.ready(t, "IPv6 is left out: "); err == nil {
			return errors.New("it still says that IPv6 is left out")
		}
		return w.ready(t, "links on")
	})
	waitFor(t, "IPv6 through the tunnel", func() error {
		out, err := w.ns.Try("busybox", "ping", "-c1", "-W2", "-I", w.pod6(), e.pod6())
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
}
