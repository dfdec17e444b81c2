//go:build kernel

package agent

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// backWithin is how soon after its start a gateway with userspace devices carries packets again.
// A quiet machine takes half a second.
const backWithin = 5 * time.Second

// A restart of an agent that serves its devices ends their sessions, and nothing else. They are
// there again soon after the start, with the endpoints, addresses and routes of before.
func TestUserspaceRestart(t *testing.T) {
	with(t, testUserspaceRestart, userspaceKinds, kinds{v1alpha1.WireGuardKernel, v1alpha1.WireGuardUserspace})
}

func testUserspaceRestart(t *testing.T, k kinds) {
	c := startClusters(t, k)
	c.waitCalm(t)
	peers, routes, addresses := c.west1.peers(t), c.west1.routes(t), c.west1.addresses(t)
	c.west1.stop()
	time.Sleep(2 * time.Second) // a pod takes its time to start
	if got := c.west1.routes(t); !slices.Equal(got, routes) {
		t.Errorf("routes without the agent are %q, were %q", got, routes)
	}
	if diff := cmp.Diff(addresses, c.west1.addresses(t)); diff != "" {
		t.Errorf("addresses without the agent (-before +now):\n%s", diff)
	}
	began := time.Now()
	c.west1.start(t)
	for _, east := range []*testGateway{c.east0, c.east2} {
		waitFor(t, "an answer through the tunnel", func() error {
			out, err := c.west1.ns.Try("busybox", "ping", "-c1", "-W1", "-I", c.west1.pod(), east.pod())
			if err != nil {
				err = errors.New(out)
			}
			return err
		})
	}
	took := time.Since(began)
	t.Logf("the tunnels were back %s after the agent's start", took.Round(10*time.Millisecond))
	if took > backWithin {
		t.Errorf("the tunnels were back %s after the agent's start, want %s", took, backWithin)
	}
	for _, east := range []*testGateway{c.east0, c.east2} {
		c.west1.waitLink(t, east, v1alpha1.LinkUp)
		east.waitLink(t, c.west1, v1alpha1.LinkUp)
	}
	waitFor(t, "what was there before", func() error {
		return errors.Join(differs("peers", peers, c.west1.peers(t)), differs("routes", routes, c.west1.routes(t)),
			differs("addresses", addresses, c.west1.addresses(t)))
	})
}

func differs(what string, before, after []string) error {
	if diff := cmp.Diff(before, after); diff != "" {
		return fmt.Errorf("%s (-before +after):\n%s", what, diff)
	}
	return nil
}

// addresses are what ip says of the tunnels' addresses: "device address".
func (g *testGateway) addresses(t *testing.T) []string {
	t.Helper()
	var links []struct {
		Ifname   string
		AddrInfo []struct{ Local string } `json:"addr_info"`
	}
	g.ipJSON(t, &links, "address")
	var lines []string
	for _, l := range links {
		for _, a := range l.AddrInfo {
			if strings.HasPrefix(l.Ifname, "tombolo") {
				lines = append(lines, l.Ifname+" "+a.Local)
			}
		}
	}
	slices.Sort(lines)
	return lines
}

// The ClusterSet says who serves the devices, and Ready says so too when it is not the kernel.
func TestUserspaceSwitch(t *testing.T) {
	c := startClusters(t, kernelKinds)
	for _, tt := range []struct {
		mode          v1alpha1.WireGuardMode
		kind, message string
	}{
		{v1alpha1.WireGuardUserspace, "tun", "userspace WireGuard, as the ClusterSet's spec.gateway.wireguard asks for"},
		{v1alpha1.WireGuardAuto, "wireguard", ""},
		{v1alpha1.WireGuardUserspace, "tun", "userspace WireGuard"},
		{v1alpha1.WireGuardKernel, "wireguard", ""},
	} {
		c.west1.setWireGuard(t, tt.mode)
		waitFor(t, fmt.Sprintf("devices of mode %s", tt.mode), func() error {
			for _, device := range []string{"tombolo0", "tombolo2"} {
				if out, err := c.west1.ns.Try("ip", "-d", "link", "show", device); err != nil || !strings.Contains(out, tt.kind) {
					return fmt.Errorf("%s: %s", device, out)
				}
			}
			return nil
		})
		waitFor(t, "a condition that says so", func() error {
			got := c.west1.readyMessage(t)
			if strings.Contains(got, "userspace") != (tt.message != "") || !strings.Contains(got, tt.message) {
				return fmt.Errorf("Ready says %q", got)
			}
			return nil
		})
		for _, east := range []*testGateway{c.east0, c.east2} {
			c.west1.waitLink(t, east, v1alpha1.LinkUp)
			c.west1.ping(t, east.pod(), "-I", c.west1.pod())
		}
	}
}

func (g *testGateway) setWireGuard(t *testing.T, mode v1alpha1.WireGuardMode) {
	t.Helper()
	set := &v1alpha1.ClusterSet{}
	if err := g.client.Get(t.Context(), client.ObjectKey{Name: v1alpha1.ClusterSetName}, set); err != nil {
		t.Fatal(err)
	}
	set.Spec.Gateway.WireGuard = mode
	if err := g.client.Update(t.Context(), set); err != nil {
		t.Fatal(err)
	}
	g.agent.Changed()
}

// readyMessage is what the condition Ready of the gateway says while it is true.
func (g *testGateway) readyMessage(t *testing.T) string {
	t.Helper()
	node := &v1alpha1.GatewayNode{}
	if err := g.client.Get(t.Context(), client.ObjectKey{Namespace: kernelTestNamespace, Name: g.name}, node); err != nil {
		t.Fatal(err)
	}
	if !meta.IsStatusConditionTrue(node.Status.Conditions, v1alpha1.ConditionReady) {
		return ""
	}
	return meta.FindStatusCondition(node.Status.Conditions, v1alpha1.ConditionReady).Message
}
