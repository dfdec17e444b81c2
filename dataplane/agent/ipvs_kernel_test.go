//go:build kernel

package agent

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/dataplane/internal/testnet"
	"github.com/tombolo-net/tombolo/dataplane/plan"
)

// TestDeletedServiceAmongMany: while it is too early to compare the whole table, a service that somebody deletes is back
// with the next repair; services of others that come do not have the table compared again and again.
func TestDeletedServiceAmongMany(t *testing.T) {
	node := testnet.New(t)
	want := servicesByKey{}
	var keys []plan.Key
	for i := range byte(100) {
		key := plan.Key{Address: netip.AddrFrom4([4]byte{244, 0, 0, i + 1}), Protocol: corev1.ProtocolTCP, Port: 80}
		want[key] = plan.VirtualService{Key: key, Scheduler: v1alpha1.SchedulerRandom, Destinations: []plan.Destination{{Address: netip.MustParseAddr("10.1.0.5"), Port: 80, Weight: 1}}}
		keys = append(keys, key)
	}
	b := newIPVSBackend([]netip.Prefix{netip.MustParsePrefix("244.0.0.0/16")})
	defer b.close()
	repair := func(what string, count int) {
		t.Helper()
		b.nextRepair = time.Now().Add(time.Hour)
		node.Do(func() {
			if did, err := b.repair(t.Context(), false); err != nil || did.written != count {
				t.Errorf("repair after %s: %+v, %v; want %d written", what, did, err, count)
			}
		})
	}
	node.Do(func() {
		if _, err := b.sync(t.Context(), want, keys); err != nil {
			t.Fatal(err)
		}
	})
	repair("nothing", 0)
	node.Run("ipvsadm", "-D", "-t", "244.0.0.77:80")
	repair("a service was deleted", 2)
	node.Run("ipvsadm", "-A", "-t", "192.0.2.1:80")
	repair("somebody else's came", 0)
	if !b.misled || b.nextRepair.After(time.Now().Add(30*time.Minute)) {
		t.Errorf("misled is %t, and the next repair at %s: the table was not compared", b.misled, b.nextRepair)
	}
	node.Run("ipvsadm", "-A", "-t", "192.0.2.2:80")
	repair("another came", 0)
	if b.nextRepair.Before(time.Now().Add(30 * time.Minute)) {
		t.Error("the table was compared again")
	}
	node.Run("ipvsadm", "-C")
	repair("all were deleted", 200)
	if n := strings.Count(node.Run("ipvsadm", "-Sn"), "-A "); n != 100 {
		t.Errorf("ipvsadm shows %d services, want ours and none of those that were deleted", n)
	}
}
