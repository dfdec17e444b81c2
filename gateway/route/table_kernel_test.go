//go:build kernel

package route

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

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

func sync(t *testing.T, ns *netns.Namespace, want Config) (change Change, state State) {
	t.Helper()
	var err error
	ns.Do(func() {
		if change, err = Sync(t.Context(), want); err == nil {
			state, err = Read(t.Context())
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return change, state
}

// A real kernel goes from every Config to every other, and then has nothing to change.
func TestKernelProperties(t *testing.T) {
	ns := newNode(t)
	all := configs()
	for _, from := range slices.Sorted(maps.Keys(all)) {
		for _, to := range slices.Sorted(maps.Keys(all)) {
			sync(t, ns, all[from])
			_, got := sync(t, ns, all[to])
			if diff := cmp.Diff(wanted(all[to]), got, netipValues, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%s to %s: state (-want +got):\n%s", from, to, diff)
			}
			if change, _ := sync(t, ns, all[to]); !change.Empty() {
				t.Errorf("%s to %s: the second pass changes %+v", from, to, change)
			}
		}
	}
}

// What the rule leads to: the links, or the refusal, and never the default route.
func TestKernelLookup(t *testing.T) {
	ns := newNode(t)
	ns.Run("ip", "link", "add", "eth0", "up", "type", "dummy")
	ns.Run("ip", "route", "add", "default", "dev", "eth0")
	base := configs()["base"]
	sync(t, ns, base)
	if got := ns.Run("ip", "route", "get", "10.2.1.1"); !strings.Contains(got, "tombolo") {
		t.Errorf("with links: %s", got)
	}
	sync(t, ns, Config{Routes: slices.DeleteFunc(base.Routes, func(r Route) bool { return r.Type == Unicast })})
	if got, err := ns.Try("ip", "route", "get", "10.2.1.1"); err == nil {
		t.Errorf("without links: %s", got)
	}
	if got := ns.Run("ip", "route", "get", "10.3.0.1"); !strings.Contains(got, "eth0") {
		t.Errorf("elsewhere: %s", got)
	}
}

// A route that cannot be set is told, and the others are set all the same.
func TestKernelTriesAll(t *testing.T) {
	ns := newNode(t)
	want := configs()["base"]
	want.Routes = append(want.Routes, unicast("10.9.0.0/16", "245.0.16.0", "tombolo9"))
	var change Change
	var err error
	ns.Do(func() { change, err = Sync(t.Context(), want) })
	if err == nil || !strings.Contains(err.Error(), "tombolo9") || len(change.Set) != 4 {
		t.Errorf("set %d routes, error %v", len(change.Set), err)
	}
	ns.Run("ip", "link", "add", "tombolo9", "up", "type", "wireguard")
	if change, _ := sync(t, ns, want); len(change.Set) != 1 {
		t.Errorf("the retry set %+v", change.Set)
	}
}
