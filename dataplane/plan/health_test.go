package plan

import (
	"testing"
	"time"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

const (
	nearUp   = "west 10.2.0.1 zone=a"
	nearDown = "west 10.2.0.1 zone=a unready"
	far      = "east 10.1.0.1 zone=b"
	farDown  = "east 10.1.0.1 zone=b unready"
)

func second(n int) time.Duration { return time.Duration(n) * time.Second }

// Over at once, back after the pause, in which it must be well without a break.
func TestFailBack(t *testing.T) {
	s := newScene(t, nearUp, far).distribution("PreferSameZone")
	s.wants(0, "10.2.0.1*1")
	s.wantsAgain(0)
	s.have(nearDown, far)
	s.wants(second(10), "10.1.0.1*1 10.2.0.1*0")
	s.have(nearUp, far)
	s.wants(second(20), "10.1.0.1*1 10.2.0.1*0")
	s.wantsAgain(second(50))
	s.have(nearDown, far)
	s.wants(second(30), "10.1.0.1*1 10.2.0.1*0")
	s.have(nearUp, far)
	s.wants(second(40), "10.1.0.1*1 10.2.0.1*0")
	s.wantsAgain(second(70))
	s.wants(second(69), "10.1.0.1*1 10.2.0.1*0")
	s.wants(second(70), "10.1.0.1*0 10.2.0.1*1")
	s.wantsAgain(70*time.Second + drainFor) // the drain of 10.1.0.1
	s.have(nearDown, far)
	s.wants(second(71), "10.1.0.1*1 10.2.0.1*0") // at once again
}

func TestFailBackOfClusters(t *testing.T) {
	s := newScene(t, "west 10.2.0.1", "east 10.1.0.1").policy(func(p *v1alpha1.TrafficPolicySpec) { p.Failover = steps("east", "west") })
	s.wants(0, "10.1.0.1*1")
	s.unreachable("east")
	s.wants(second(1), "10.1.0.1*0 10.2.0.1*1")
	s.unreachable()
	s.wants(second(2), "10.1.0.1*0 10.2.0.1*1")
	s.wantsAgain(second(32))
	s.wants(second(32), "10.1.0.1*1 10.2.0.1*0")
}

func TestFailBackWithoutPause(t *testing.T) {
	s := newScene(t, nearUp, far).distribution("PreferSameZone")
	s.Place.FailBack = 0
	s.wants(0, "10.2.0.1*1")
	s.have(nearDown, far)
	s.wants(second(1), "10.1.0.1*1 10.2.0.1*0")
	s.have(nearUp, far)
	s.wants(second(1), "10.1.0.1*0 10.2.0.1*1")
}

// What never failed is used at once, also if it comes later.
func TestFirstSight(t *testing.T) {
	s := newScene(t, far).distribution("PreferSameZone")
	s.wants(0, "10.1.0.1*1")
	s.have(nearDown, far)
	s.wants(second(1), "10.1.0.1*1")
	s.have(nearUp, far)
	s.wants(second(2), "10.1.0.1*0 10.2.0.1*1")
	s.have(far) // scaled to nothing is failed
	s.wants(second(3), "10.1.0.1*1")
	s.have(nearUp, far)
	s.wants(second(4), "10.1.0.1*1")
	s.wantsAgain(second(34))
}

// If nobody else would serve, whatever is ready serves at once, and stays.
func TestFailBackIfNobodyElse(t *testing.T) {
	s := newScene(t, nearUp, far).distribution("PreferSameZone")
	s.wants(0, "10.2.0.1*1")
	s.have(nearDown, far)
	s.wants(second(1), "10.1.0.1*1 10.2.0.1*0")
	s.have(nearUp, far)
	s.wants(second(2), "10.1.0.1*1 10.2.0.1*0")
	s.have(nearUp, farDown)
	s.wants(second(3), "10.1.0.1*0 10.2.0.1*1")
	s.have(nearUp, far)
	s.wants(second(4), "10.1.0.1*0 10.2.0.1*1")
	s.have(nearDown, farDown)
	s.wants(second(5), "10.1.0.1*0 10.2.0.1*0")
	s.have(nearDown, far)
	s.wants(second(6), "10.1.0.1*1 10.2.0.1*0")
	s.have(nearUp, far)
	s.wants(second(7), "10.1.0.1*1 10.2.0.1*0")
	s.wantsAgain(second(37))
	s.wants(second(37), "10.1.0.1*0 10.2.0.1*1")
}

// Whoever changes the order sees it at once: what was remembered of other levels says nothing of
// the new ones.
func TestOtherLevels(t *testing.T) {
	s := newScene(t, nearUp, far).distribution("PreferSameZone")
	s.wants(0, "10.2.0.1*1")
	s.have(nearDown, far)
	s.wants(second(1), "10.1.0.1*1 10.2.0.1*0")
	s.have(nearUp, far)
	s.wants(second(2), "10.1.0.1*1 10.2.0.1*0")
	s.policy(func(p *v1alpha1.TrafficPolicySpec) { p.Failover = steps("west") })
	s.wants(second(3), "10.1.0.1*0 10.2.0.1*1")
	s.policy(func(p *v1alpha1.TrafficPolicySpec) { p.Failover = steps("east") })
	s.wants(second(4), "10.1.0.1*1 10.2.0.1*0")
	s.policy(func(p *v1alpha1.TrafficPolicySpec) { p.Weights = weights("west", 1) })
	s.wants(second(5), "10.1.0.1*0 10.2.0.1*1")
	s.policy(func(p *v1alpha1.TrafficPolicySpec) { p.Weights = weights("east", 1) })
	s.wants(second(6), "10.1.0.1*1 10.2.0.1*0")
	s.policy(func(p *v1alpha1.TrafficPolicySpec) { p.Weights = weights("west", 1, "east", 0) })
	s.wants(second(7), "10.1.0.1*0 10.2.0.1*1")
}

// Other numbers are no other levels: what has failed stays so.
func TestOtherWeights(t *testing.T) {
	s := newScene(t, "west 10.2.0.1", "east 10.1.0.1").policy(func(p *v1alpha1.TrafficPolicySpec) { p.Weights = weights("west", 1) })
	s.wants(0, "10.2.0.1*1")
	s.have("west 10.2.0.1 unready", "east 10.1.0.1")
	s.wants(second(1), "10.1.0.1*1 10.2.0.1*0")
	s.have("west 10.2.0.1", "east 10.1.0.1")
	s.policy(func(p *v1alpha1.TrafficPolicySpec) { p.Weights = weights("west", 7) })
	s.wants(second(2), "10.1.0.1*1 10.2.0.1*0")
}

// With spillover a level that has lost a part gets its share back only after the pause, and what it
// is by then.
func TestFailBackOfAPart(t *testing.T) {
	two := func(first, second string) []string {
		return []string{"east 10.1.0.1" + first, "east 10.1.0.2" + second, "west 10.2.0.1"}
	}
	s := newScene(t, two("", "")...).policy(func(p *v1alpha1.TrafficPolicySpec) {
		p.Failover, p.Spillover = steps("east"), &v1alpha1.Spillover{OverprovisioningPercent: 100}
	})
	s.wants(0, "10.1.0.1*1 10.1.0.2*1")
	s.have(two("", " unready")...)
	s.wants(second(1), "10.1.0.1*1 10.1.0.2*0 10.2.0.1*1")
	s.have(two(" unready", " unready")...)
	s.wants(second(2), "10.1.0.1*0 10.1.0.2*0 10.2.0.1*1")
	s.have(two("", " unready")...)
	s.wants(second(3), "10.1.0.1*0 10.1.0.2*0 10.2.0.1*1")
	s.have(two("", "")...)
	s.wants(second(20), "10.1.0.1*0 10.1.0.2*0 10.2.0.1*1")
	s.wantsAgain(second(33)) // better since the third second
	s.wants(second(33), "10.1.0.1*1 10.1.0.2*1 10.2.0.1*0")
}

// A level that is used while it has half of its health, and then has all, has to wait for the other
// half.
func TestFailBackInTwoParts(t *testing.T) {
	m := levelMemory{}.next(full, start, second(30)).next(0, start, second(30))
	for _, step := range []struct {
		at   int
		has  health
		want health
	}{{1, full / 2, 0}, {31, full / 2, full / 2}, {32, full, full / 2}, {61, full, full / 2}, {62, full, full}} {
		if m = m.next(step.has, start.Add(second(step.at)), second(30)); m.used != step.want {
			t.Errorf("after %d s with %d it is used as %d, want %d", step.at, step.has, m.used, step.want)
		}
	}
	if m != (levelMemory{used: full}) {
		t.Errorf("left of it: %+v", m)
	}
}

// A Service that is made smaller, or is rolled out, is not ill: what terminates is no part of the
// whole.
func TestHealthWithoutWhatTerminates(t *testing.T) {
	s := newScene(t, "east 10.1.0.1", "east 10.1.0.2 leaving", "east 10.1.0.3 gone", "west 10.2.0.1").policy(func(p *v1alpha1.TrafficPolicySpec) {
		p.Failover, p.Spillover = steps("east"), &v1alpha1.Spillover{OverprovisioningPercent: 100}
	})
	s.wants(0, "10.1.0.1*1 10.1.0.2*0")
	// One that nothing leads to is.
	s.have("east 10.1.0.1", "north 10.3.0.1", "west 10.2.0.1")
	s.policy(func(p *v1alpha1.TrafficPolicySpec) {
		p.Failover, p.Spillover = steps("east north"), &v1alpha1.Spillover{OverprovisioningPercent: 100}
	})
	s.unreachable("north")
	s.wants(second(1), "10.1.0.1*1 10.2.0.1*1")
}

// A clock that is set back does not hold a level back longer than the pause from then.
func TestClockSetBack(t *testing.T) {
	s := newScene(t, nearUp, far).distribution("PreferSameZone")
	s.wants(time.Hour, "10.2.0.1*1")
	s.have(nearDown, far)
	s.wants(time.Hour, "10.1.0.1*1 10.2.0.1*0")
	s.have(nearUp, far)
	s.wants(time.Hour, "10.1.0.1*1 10.2.0.1*0")
	s.wants(second(1), "10.1.0.1*1 10.2.0.1*0")
	s.wantsAgain(second(31))
	s.wants(second(31), "10.1.0.1*0 10.2.0.1*1")
}

// Each port and each family is on its own.
func TestLevelsOfEachPort(t *testing.T) {
	s := newScene(t, "west 10.2.0.1 zone=a", "east 10.1.0.1", "west fd02::1 zone=a", "east fd01::1")
	s.distribution("PreferSameZone").Import.Spec.IPs = []string{"244.0.0.1", "fd77::1"}
	planned := func(after int, want string) {
		t.Helper()
		s.Now = start.Add(second(after))
		out := Services(s.Input)
		s.Memory = out.Memory
		if got := destinationsText(out.Services) + " | " + destinationsText(out.Services[1:]); got != want {
			t.Errorf("after %d s:\ngot  %s\nwant %s", after, got, want)
		}
	}
	planned(0, "10.2.0.1*1 | fd02::1*1")
	s.have("west 10.2.0.1 zone=a", "east 10.1.0.1", "west fd02::1 zone=a unready", "east fd01::1")
	planned(1, "10.2.0.1*1 | fd01::1*1 fd02::1*0")
	s.have("west 10.2.0.1 zone=a", "east 10.1.0.1", "west fd02::1 zone=a", "east fd01::1")
	planned(2, "10.2.0.1*1 | fd01::1*1 fd02::1*0")
	planned(32, "10.2.0.1*1 | fd01::1*0 fd02::1*1")
}
