//go:build kernel

package backend

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/dataplane/plan"
	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// TestDeletedServiceAmongMany: while it is too early to compare the whole table, a service that
// somebody deletes is back with the next repair; services of others that come do not have the table
// compared again and again.
func TestDeletedServiceAmongMany(t *testing.T) {
	node := netns.New(t)
	var want plan.Table
	var all []plan.VirtualService
	addresses := []netip.Addr{netip.MustParseAddr("fd77::1")} // which the kernel does not count
	for i := range byte(100) {
		addresses = append(addresses, netip.AddrFrom4([4]byte{244, 0, 0, i + 1}))
	}
	for _, address := range addresses {
		key := plan.Key{Address: address, Protocol: serviceport.TCP, Port: 80}
		endpoint := netip.MustParseAddr("10.1.0.5")
		if address.Is6() {
			endpoint = netip.MustParseAddr("fd01::5")
		}
		all = append(all, plan.VirtualService{Key: key, Scheduler: v1alpha1.SchedulerRandom, Destinations: []plan.Destination{{Address: endpoint, Port: 80, Weight: 1}}})
	}
	slices.SortFunc(all, func(x, y plan.VirtualService) int { return x.Key.Compare(y.Key) })
	changed := Changed{}
	for _, r := range want.Put(types.NamespacedName{Namespace: "default", Name: "web"}, all) {
		changed[r.Key] = nil
	}
	b := newIPVSDriver(&want, []netip.Prefix{netip.MustParsePrefix("244.0.0.0/16"), netip.MustParsePrefix("fd77::/112")}, nil)
	defer b.close()
	repair := func(what string, count int) {
		t.Helper()
		b.nextRepair = time.Now().Add(time.Hour)
		node.Do(func() {
			if did, err := b.repair(t.Context(), time.Now(), false); err != nil || did.Written != count {
				t.Errorf("repair after %s: %+v, %v; want %d written", what, did, err, count)
			}
		})
	}
	node.Do(func() {
		if _, err := b.sync(t.Context(), changed); err != nil {
			t.Fatal(err)
		}
	})
	repair("nothing", 0)
	node.Run("ipvsadm", "-D", "-t", "244.0.0.77:80")
	repair("a service was deleted", 2)
	node.Run("ipvsadm", "-D", "-t", "[fd77::1]:80")
	repair("all of IPv6 were deleted", 2)
	node.Run("ipvsadm", "-A", "-t", "192.0.2.1:80")
	repair("somebody else's came", 0)
	if b.nextAlarm.IsZero() || b.nextRepair.After(time.Now().Add(30*time.Minute)) {
		t.Errorf("the next alarm is at %s, and the next repair at %s: the table was not compared", b.nextAlarm, b.nextRepair)
	}
	b.nextAlarm = time.Now().Add(time.Hour)
	node.Run("ipvsadm", "-A", "-t", "192.0.2.2:80")
	repair("another came", 0)
	if b.nextRepair.Before(time.Now().Add(30 * time.Minute)) {
		t.Error("the table was compared again")
	}
	node.Run("ipvsadm", "-C")
	repair("all were deleted", 202)
	if n := strings.Count(node.Run("ipvsadm", "-Sn"), "-A "); n != 101 {
		t.Errorf("ipvsadm shows %d services, want ours and none of those that were deleted", n)
	}
}
