//go:build kernel

package agent

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/kernel/rtnl"
)

// announced is a route that the kernel announced, and when.
type announced struct {
	netlink.Route
	at time.Time
}

// watchRoutes sends what the kernel announces about routes of our table in the gateway's namespace.
func (g *testGateway) watchRoutes(t *testing.T) <-chan announced {
	t.Helper()
	updates, done, times := make(chan netlink.RouteUpdate, 1024), make(chan struct{}), make(chan announced, 1024)
	t.Cleanup(func() { close(done) })
	g.ns.Do(func() {
		if err := netlink.RouteSubscribe(updates, done); err != nil {
			t.Error(err)
		}
	})
	go func() {
		for u := range updates {
			if u.Table == 7473 {
				times <- announced{u.Route, time.Now()}
			}
		}
	}()
	return times
}

// The route leaves a dead link at once, however many clusters there are: measured from the
// prober's decision to the kernel's announcement.
func TestReaction(t *testing.T) {
	for _, others := range []int{0, 49} {
		t.Run(fmt.Sprintf("%d clusters", others+1), func(t *testing.T) {
			c := startClusters(t)
			for i := range others {
				other := newTestCluster(v1alpha1.ClusterID(fmt.Sprintf("other%d", i)), int32(100+i), v1alpha1.CIDR(fmt.Sprintf("10.%d.0.0/16", 100+i)))
				c.west1.learnSilent(t, other)
			}
			waitFor(t, "routes to all clusters", func() error {
				if got := c.west1.routes(t); !slices.ContainsFunc(got, func(r string) bool {
					return strings.HasPrefix(r, fmt.Sprintf("unicast 10.%d.0.0/16", 100+others-1))
				}) && others > 0 {
					return fmt.Errorf("%d routes", len(got))
				}
				return nil
			})
			c.waitCalm(t)
			announcements := c.west1.watchRoutes(t)
			cut := time.Now()
			c.wire.Cut(c.east0.port)
			var moved announced
			timeout := time.After(time.Minute)
			for moved.at.IsZero() {
				select {
				case a := <-announcements:
					if rtnl.Prefix(a.Dst) == netip.MustParsePrefix("10.1.0.0/16") && a.Type == 1 {
						moved = a
					}
				case <-timeout:
					t.Fatal("the route did not move")
				}
			}
			since := c.west1.agent.prober.statuses()["east/"+c.east0.name].Since
			t.Logf("down %s after the cut, route moved %s later", since.Sub(cut).Round(time.Millisecond), moved.at.Sub(since).Round(10*time.Microsecond))
			if took := moved.at.Sub(since); took < 0 || took > 3*time.Second { // milliseconds on a quiet machine
				t.Errorf("the route moved %s after the decision", took)
			}
		})
	}
}

// learnSilent tells this gateway of a cluster with two gateways that never answer.
func (g *testGateway) learnSilent(t *testing.T, other *testCluster) {
	t.Helper()
	rc := &v1alpha1.RemoteCluster{}
	rc.Name = string(other.id)
	rc.Spec = v1alpha1.RemoteClusterSpec{Index: other.index, CIDRs: other.cidrs}
	for lane := range v1alpha1.Lane(2) {
		key := publicKeyOf(byte(other.index), byte(lane))
		rc.Spec.Gateways = append(rc.Spec.Gateways, v1alpha1.RemoteGateway{
			Name: fmt.Sprintf("%s-%d", other.id, lane), Lane: lane, PublicKey: key,
			Endpoints: []v1alpha1.Endpoint{{Address: "192.0.2.200", Port: 51820}},
		})
	}
	if err := g.client.Create(t.Context(), rc); err != nil {
		t.Fatal(err)
	}
	g.agent.Changed()
}

// A gateway that drains is left at once and loses nothing: it forwards what still comes.
func TestDraining(t *testing.T) {
	c := startClusters(t)
	routesBy := func(devices string) func() error {
		return func() error {
			got := c.west1.routes(t)
			for _, prefix := range []string{"10.1.0.0/16", "fd00:10:1::/48"} {
				if !slices.Contains(got, "unicast "+prefix+" 100 "+devices) {
					return fmt.Errorf("routes are %q", got)
				}
			}
			return nil
		}
	}
	lost := c.pingDuring(t, func() {
		time.Sleep(300 * time.Millisecond)
		begin := time.Now()
		c.east0.agent.SetDraining(true)
		waitFor(t, "routes over the other link", routesBy("tombolo2"))
		if took := time.Since(begin); took > 3*time.Second { // milliseconds on a quiet machine
			t.Errorf("the routes moved after %s", took)
		}
		waitFor(t, "a link that is up and says why it is not used", func() error {
			if l := c.west1.link(t, c.east0); l.State != v1alpha1.LinkUp || !strings.Contains(l.Message, "drains") {
				return fmt.Errorf("it is %+v", l)
			}
			return nil
		})
		c.east0.stop()
		time.Sleep(2 * time.Second)
		if err := routesBy("tombolo2")(); err != nil {
			t.Errorf("when the agent is away: %v", err)
		}
		c.east0.start(t)
		waitFor(t, "routes over both links", routesBy("tombolo0 tombolo2"))
	})
	if lost != 0 {
		t.Errorf("%d packets were lost", lost)
	}
}

// A link that goes down again and again says so while it is up, at both ends.
func TestFlappingLink(t *testing.T) {
	c := startClusters(t)
	c.waitCalm(t)
	ends := [][2]*testGateway{{c.west1, c.east0}, {c.east0, c.west1}}
	wait := func(what string, right func(v1alpha1.Link) bool) {
		t.Helper()
		for _, end := range ends {
			waitFor(t, what, func() error {
				if l := end[0].link(t, end[1]); !right(l) {
					return fmt.Errorf("at %s it is %+v", end[0].name, l)
				}
				return nil
			})
		}
	}
	for i := range downsOfFlapping {
		wait("a link that is up", func(l v1alpha1.Link) bool {
			return l.State == v1alpha1.LinkUp && (i > 0 || !l.Flapping && l.Message == "")
		})
		c.wire.Cut(c.east0.port)
		wait("a link that is down", func(l v1alpha1.Link) bool { return l.State == v1alpha1.LinkDown })
		c.wire.Heal(c.east0.port)
	}
	wait("a link that is up and flaps", func(l v1alpha1.Link) bool {
		return l.State == v1alpha1.LinkUp && l.Flapping && strings.Contains(l.Message, "again and again")
	})
}
