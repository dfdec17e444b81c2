//go:build kernel

package route

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// newNode is a namespace with the links and addresses that the routes of configs need.
func newNode(t *testing.T) *netns.Namespace {
	t.Helper()
	ns := netns.New(t)
	for _, link := range []string{"tombolo0", "tombolo2"} {
		ns.Run("ip", "link", "add", link, "up", "type", "wireguard")
		for _, address := range []string{"245.0.16.0/32", "245.0.16.2/32", "fd00::1/128"} {
			ns.Run("ip", "address", "add", address, "dev", link)
		}
	}
	return ns
}

// owner is the gateway's, with rules of any priority.
func owner() Owner {
	o := GatewayOwner()
	o.Lookups = []Lookup{{0, TableTunnels}, {PriorityBypass, TableMain}}
	return o
}

func sync(t *testing.T, ns *netns.Namespace, want Config) (change Change, state Config) {
	t.Helper()
	var err error
	ns.Do(func() {
		if change, err = owner().Sync(t.Context(), want); err == nil {
			state, err = owner().Read(t.Context())
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return change, state
}

// A real kernel goes from each Config to some others, to the base and to nothing, and then has
// nothing to change.
func TestKernelProperties(t *testing.T) {
	ns := newNode(t)
	all := append(edits(), edit{"base", func(*Config) {}})
	for i, from := range all {
		for _, to := range []edit{all[(i+1)%len(all)], all[(i+5)%len(all)], all[len(all)-2], all[len(all)-1]} {
			sync(t, ns, edited(from))
			_, got := sync(t, ns, edited(to))
			if diff := cmp.Diff(edited(to), got, options...); diff != "" {
				t.Errorf("%s to %s: state (-want +got):\n%s", from.name, to.name, diff)
			}
			if change, _ := sync(t, ns, edited(to)); !change.Empty() {
				t.Errorf("%s to %s: the second pass changes %+v", from.name, to.name, change)
			}
		}
	}
}

// What the rule leads to: the links, or the refusal, and never the default route.
func TestKernelLookup(t *testing.T) {
	ns := newNode(t)
	ns.Run("ip", "link", "add", "eth0", "up", "type", "dummy")
	ns.Run("ip", "route", "add", "default", "dev", "eth0")
	base := tunnels()
	sync(t, ns, base)
	if got := ns.Run("ip", "route", "get", "10.2.1.1"); !strings.Contains(got, "tombolo") {
		t.Errorf("with links: %s", got)
	}
	base.Routes = slices.DeleteFunc(base.Routes, func(r Route) bool { return r.Type == Unicast })
	sync(t, ns, base)
	if got, err := ns.Try("ip", "route", "get", "10.2.1.1"); err == nil {
		t.Errorf("without links: %s", got)
	}
	if got := ns.Run("ip", "route", "get", "10.3.0.1"); !strings.Contains(got, "eth0") {
		t.Errorf("elsewhere: %s", got)
	}
}

// A route that cannot be set is reported, and the others are set all the same.
func TestKernelTriesAll(t *testing.T) {
	ns := newNode(t)
	want := tunnels()
	want.Routes = append(want.Routes, unicast("10.9.0.0/16", "245.0.16.0", Over("tombolo9")...))
	var change Change
	var err error
	ns.Do(func() { change, err = owner().Sync(t.Context(), want) })
	if err == nil || !strings.Contains(err.Error(), "tombolo9") || len(change.SetRoutes) != 4 {
		t.Errorf("set %d routes, error %v", len(change.SetRoutes), err)
	}
	ns.Run("ip", "link", "add", "tombolo9", "up", "type", "wireguard")
	if change, _ := sync(t, ns, want); len(change.SetRoutes) != 1 {
		t.Errorf("the retry set %+v", change.SetRoutes)
	}
}

// A route that another program appended under our key goes, and ours stays as it is.
func TestKernelRouteWithOurKey(t *testing.T) {
	ns := newNode(t)
	want := Config{Routes: []Route{unicast("10.2.0.0/18", "245.0.16.0", Over("tombolo0")...)}}
	sync(t, ns, want)
	ns.Run("ip", "route", "append", "10.2.0.0/18", "dev", "tombolo2", "table", "7473", "proto", "147", "metric", "100", "src", "245.0.16.0")
	change, got := sync(t, ns, want)
	if len(change.SetRoutes) != 0 || len(change.DeleteRoutes) != 1 {
		t.Errorf("change: %+v", change)
	}
	if diff := cmp.Diff(want, got, options...); diff != "" {
		t.Errorf("state (-want +got):\n%s", diff)
	}
}

// A route of ours that another program has made into a type that we do not use is made ours again.
func TestKernelForeignType(t *testing.T) {
	ns := newNode(t)
	want := tunnels()
	sync(t, ns, want)
	ns.Run("ip", "route", "replace", "blackhole", "10.2.0.0/18", "table", "7473", "proto", "147", "metric", "100")
	ns.Run("ip", "route", "add", "prohibit", "10.7.0.0/16", "table", "7473", "proto", "147")
	if _, got := sync(t, ns, want); cmp.Diff(sorted(want), got, options...) != "" {
		t.Errorf("state (-want +got):\n%s", cmp.Diff(sorted(want), got, options...))
	}
}
