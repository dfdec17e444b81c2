package plan

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// everywhere has an endpoint in each place that a preference tells apart.
var everywhere = []string{
	"west 10.2.0.1 zone=a node=worker",
	"west 10.2.0.2 zone=a node=other",
	"east 10.1.0.1 zone=a node=worker", // another cluster's node of that name
	"west 10.2.0.3 zone=b node=third",
	"east 10.1.0.2 zone=b",
	"north 10.3.0.1 zone=a", // a zone of that name, but in another zone domain
	"south 10.4.0.1 zone=a", // in another region
}

// without leaves out the first n.
func without(n int) []string { return everywhere[n:] }

func TestLevels(t *testing.T) {
	all := "10.1.0.1*1 10.1.0.2*1 10.2.0.1*1 10.2.0.2*1 10.2.0.3*1 10.3.0.1*1 10.4.0.1*1"
	own := "10.2.0.1*1 10.2.0.2*1 10.2.0.3*1"
	others := "10.1.0.1*1 10.1.0.2*1 10.3.0.1*1 10.4.0.1*1"
	tests := []struct {
		name string
		have []string
		edit func(*scene)
		want string
	}{
		{name: "without a preference all are alike", have: everywhere, want: all},
		{name: "PreferSameNode: this node", have: everywhere, edit: func(s *scene) { s.distribution("PreferSameNode") }, want: "10.2.0.1*1"},
		{name: "PreferSameNode: then this zone", have: without(1), edit: func(s *scene) { s.distribution("PreferSameNode") }, want: "10.2.0.2*1"},
		{name: "PreferSameNode: then this zone of another cluster, whose node is not this one", have: without(2),
			edit: func(s *scene) { s.distribution("PreferSameNode") }, want: "10.1.0.1*1"},
		{name: "PreferSameNode: then this cluster", have: without(3), edit: func(s *scene) { s.distribution("PreferSameNode") }, want: "10.2.0.3*1"},
		{name: "PreferSameNode: then the rest", have: without(4), edit: func(s *scene) { s.distribution("PreferSameNode") }, want: "10.1.0.2*1 10.3.0.1*1 10.4.0.1*1"},
		{name: "PreferSameZone: this zone, the node does not matter", have: everywhere, edit: func(s *scene) { s.distribution("PreferSameZone") }, want: "10.2.0.1*1 10.2.0.2*1"},
		{name: "PreferClose is PreferSameZone", have: everywhere, edit: func(s *scene) { s.distribution("PreferClose") }, want: "10.2.0.1*1 10.2.0.2*1"},
		{name: "PreferSameZone: then this zone of another cluster", have: without(2), edit: func(s *scene) { s.distribution("PreferSameZone") }, want: "10.1.0.1*1"},
		{name: "PreferSameZone: then this cluster", have: without(3), edit: func(s *scene) { s.distribution("PreferSameZone") }, want: "10.2.0.3*1"},
		{name: "PreferSameZone: then the rest", have: without(4), edit: func(s *scene) { s.distribution("PreferSameZone") }, want: "10.1.0.2*1 10.3.0.1*1 10.4.0.1*1"},
		{name: "zones of clusters whose areas are not known are none of ours", have: everywhere[2:4], edit: func(s *scene) {
			s.distribution("PreferSameZone")
			s.Place.Area = clusterset.Area{}
			s.Place.Remotes = map[v1alpha1.ClusterID]Remote{"east": {}}
		}, want: "10.2.0.3*1"},
		{name: "areas known by half are not known", have: everywhere[2:4], edit: func(s *scene) {
			s.distribution("PreferSameZone")
			s.Place.Area = clusterset.Area{Region: "eu"}
			s.Place.Remotes = map[v1alpha1.ClusterID]Remote{"east": {Area: clusterset.Area{Region: "eu"}}}
		}, want: "10.2.0.3*1"},
		{name: "inside this cluster the zone's name is enough", have: everywhere, edit: func(s *scene) {
			s.distribution("PreferSameZone")
			s.Place.Area = clusterset.Area{}
		}, want: "10.2.0.1*1 10.2.0.2*1"},
		{name: "a node without a zone is in none, and not in that of endpoints without", have: []string{"west 10.2.0.1 zone=", "west 10.2.0.2 zone=a", "east 10.1.0.1"},
			edit: func(s *scene) { s.distribution("PreferSameZone"); s.Place.Zone = "" }, want: "10.2.0.1*1 10.2.0.2*1"},
		{name: "a distribution that is not known counts as none", have: everywhere, edit: func(s *scene) { s.distribution("PreferBlue") }, want: all},
		{name: "LocalFirst", have: everywhere, edit: func(s *scene) { s.Place.Locality = v1alpha1.LocalityLocalFirst }, want: own},
		{name: "LocalFirst: then the others", have: append(without(4), everywhere[2]), edit: func(s *scene) { s.Place.Locality = v1alpha1.LocalityLocalFirst }, want: others},
		{name: "LocalFirst where the distribution is not known", have: everywhere, edit: func(s *scene) {
			s.distribution("")
			s.Place.Locality = v1alpha1.LocalityLocalFirst
		}, want: own},
		{name: "a distribution comes before LocalFirst", have: everywhere, edit: func(s *scene) {
			s.distribution("PreferSameNode")
			s.Place.Locality = v1alpha1.LocalityLocalFirst
		}, want: "10.2.0.1*1"},
		{name: "internalTrafficPolicy Local: this node and nobody else", have: everywhere, edit: func(s *scene) { s.local() }, want: "10.2.0.1*1"},
		{name: "internalTrafficPolicy Local: nobody on this node", have: without(1), edit: func(s *scene) { s.local() }},
		{name: "internalTrafficPolicy Local comes before all else", have: everywhere, edit: func(s *scene) {
			s.local().distribution("PreferSameZone").policy(func(p *v1alpha1.TrafficPolicySpec) { p.Failover = steps("east") })
		}, want: "10.2.0.1*1"},
		{name: "internalTrafficPolicy Local, and this cluster is drained", have: everywhere, edit: func(s *scene) {
			s.local().policy(func(p *v1alpha1.TrafficPolicySpec) { p.Weights = weights("west", 0, "east", 1) })
		}},
		{name: "internalTrafficPolicy Cluster is the default", have: everywhere, edit: func(s *scene) {
			s.Import.Spec.InternalTrafficPolicy = ptr.To(corev1.ServiceInternalTrafficPolicyCluster)
		}, want: all},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newScene(t, tt.have...)
			if tt.edit != nil {
				tt.edit(s)
			}
			s.wants(0, tt.want)
			s.wantsAgain(0)
		})
	}
}

func TestPolicy(t *testing.T) {
	type spec = v1alpha1.TrafficPolicySpec
	clusters := []string{"west 10.2.0.1", "west 10.2.0.2", "east 10.1.0.1", "north 10.3.0.1", "south 10.4.0.1"}
	ten := func(cluster string, prefix string, n int) (all []string) {
		for i := range n {
			all = append(all, fmt.Sprintf("%s %s.%d", cluster, prefix, i+1))
		}
		return all
	}
	both := func(a, b []string) []string { return append(append([]string{}, a...), b...) }
	tests := []struct {
		name string
		have []string
		edit func(*spec)
		want string
	}{
		{"empty: as without", clusters, func(*spec) {}, "10.1.0.1*1 10.2.0.1*1 10.2.0.2*1 10.3.0.1*1 10.4.0.1*1"},
		{"the first step", clusters, func(p *spec) { p.Failover = steps("east", "west") }, "10.1.0.1*1"},
		{"the second step", clusters[:2], func(p *spec) { p.Failover = steps("east", "west") }, "10.2.0.1*1 10.2.0.2*1"},
		{"those in no step come last", clusters[3:], func(p *spec) { p.Failover = steps("east", "west") }, "10.3.0.1*1 10.4.0.1*1"},
		{"a region, this cluster's own too", clusters, func(p *spec) { p.Failover = steps("region:eu", "region:us") }, "10.1.0.1*1 10.2.0.1*1 10.2.0.2*1 10.3.0.1*1"},
		{"a cluster is in the first step that names it or its region", clusters, func(p *spec) { p.Failover = steps("south", "region:eu", "region:us") }, "10.4.0.1*1"},
		{"and not in a later one", clusters[2:3], func(p *spec) { p.Failover = steps("region:eu", "east") }, "10.1.0.1*1"},
		{"a region that is not known is none", []string{"elsewhere 10.5.0.1", "west 10.2.0.1"}, func(p *spec) { p.Failover = steps("region:") }, "10.2.0.1*1 10.5.0.1*1"},
		{"clusters and regions in one step", clusters, func(p *spec) { p.Failover = steps("west region:us") }, "10.2.0.1*1 10.2.0.2*1 10.4.0.1*1"},
		{"failover replaces the distribution", everywhere, func(p *spec) { p.Failover = steps("south") }, "10.4.0.1*1"},

		{"weights: a cluster's share is its endpoints' to share", clusters[:3], func(p *spec) { p.Weights = weights("west", 1, "east", 1) }, "10.1.0.1*2 10.2.0.1*1 10.2.0.2*1"},
		{"canary of 95 and 5, with 2 and 8 endpoints", both(ten("west", "10.2.0", 2), ten("east", "10.1.0", 8)), func(p *spec) { p.Weights = weights("west", 95, "east", 5) },
			"10.1.0.1*1 10.1.0.2*1 10.1.0.3*1 10.1.0.4*1 10.1.0.5*1 10.1.0.6*1 10.1.0.7*1 10.1.0.8*1 10.2.0.1*76 10.2.0.2*76"},
		{"canary of 95 and 5, with 8 and 2 endpoints", both(ten("west", "10.2.0", 8), ten("east", "10.1.0", 2)), func(p *spec) { p.Weights = weights("west", 95, "east", 5) },
			"10.1.0.1*4 10.1.0.2*4 10.2.0.1*19 10.2.0.2*19 10.2.0.3*19 10.2.0.4*19 10.2.0.5*19 10.2.0.6*19 10.2.0.7*19 10.2.0.8*19"},
		{"weights that are in the ratio of the endpoints are 1", both(ten("west", "10.2.0", 2), ten("east", "10.1.0", 3)), func(p *spec) { p.Weights = weights("west", 200, "east", 300) },
			"10.1.0.1*1 10.1.0.2*1 10.1.0.3*1 10.2.0.1*1 10.2.0.2*1"},
		{"a cluster without ready endpoints has no share", []string{"west 10.2.0.1", "east 10.1.0.1 unready", "north 10.3.0.1"},
			func(p *spec) { p.Weights = weights("west", 3, "east", 50, "north", 1) }, "10.2.0.1*3 10.3.0.1*1"},
		{"those not listed wait", clusters, func(p *spec) { p.Weights = weights("west", 1, "east", 1) }, "10.1.0.1*2 10.2.0.1*1 10.2.0.2*1"},
		{"until none listed is ready, then they are all alike", both(clusters[3:], ten("east", "10.1.0", 3)), func(p *spec) { p.Weights = weights("west", 1) },
			"10.1.0.1*1 10.1.0.2*1 10.1.0.3*1 10.3.0.1*1 10.4.0.1*1"},
		{"weight 0 never gets new flows", clusters[:3], func(p *spec) { p.Weights = weights("west", 0) }, "10.1.0.1*1"},
		{"not even if nobody else is there", clusters[:2], func(p *spec) { p.Weights = weights("west", 0) }, ""},
		{"a negative weight is zero", clusters[:3], func(p *spec) { p.Weights = weights("west", -5, "east", 5) }, "10.1.0.1*1"},

		{"both: weights within the first step", clusters, func(p *spec) {
			p.Failover, p.Weights = steps("west north", "east"), weights("west", 1, "north", 3, "east", 9)
		}, "10.2.0.1*1 10.2.0.2*1 10.3.0.1*6"},
		{"both: those of the step that are not listed before the next step", []string{"north 10.3.0.1", "east 10.1.0.1"}, func(p *spec) {
			p.Failover, p.Weights = steps("west north", "east"), weights("west", 1, "east", 9)
		}, "10.3.0.1*1"},
		{"both: weight 0 within a step", clusters, func(p *spec) {
			p.Failover, p.Weights = steps("west", "north", "east"), weights("west", 0, "east", 9)
		}, "10.3.0.1*1"},
		{"both: those in no step, listed first", clusters[3:], func(p *spec) {
			p.Failover, p.Weights = steps("west", "east"), weights("west", 1, "south", 9)
		}, "10.4.0.1*1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newScene(t, tt.have...)
			if len(tt.have) == len(everywhere) {
				s.distribution("PreferSameNode")
			}
			s.policy(tt.edit).wants(0, tt.want)
		})
	}
}

// The shares of two levels as the first one loses readiness, next to those of Envoy's table
// ("Priority levels").
func TestSpillover(t *testing.T) {
	tests := []struct {
		east, west  int // ready of 100 endpoints each
		percent     int32
		first, last float64 // the shares that are wanted
	}{
		{100, 100, 140, 1, 0},
		{72, 72, 140, 1, 0},
		{71, 71, 140, .994, .006},
		{50, 60, 140, .7, .3},
		{25, 100, 140, .35, .65},
		{0, 100, 140, 0, 1},
		{25, 25, 140, .5, .5},    // together they bear 70 %
		{10, 30, 140, .25, .75},  // together 56 %
		{25, 100, 0, .35, .65},   // the default is 140
		{50, 100, 100, .5, .5},   // no more than they are healthy
		{50, 100, 20, .5, .5},    // less than 100 is 100
		{12, 100, 1000, 1, 0},    // ten times
		{9, 100, 1000, .9, .1},   // of which nine are not enough
		{100, 0, 140, 1, 0},      // nobody to spill to
		{1, 0, 140, 1, 0},        // then the few bear all
		{0, 1, 140, 0, 1},        //
		{30, 100, 140, .42, .58}, //
		{99, 100, 100, .99, .01}, //
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%d and %d by %d", tt.east, tt.west, tt.percent), func(t *testing.T) {
			var have []string
			for i := range 100 {
				for _, tt := range []struct {
					prefix string
					n      int
				}{{"east 10.1.0", tt.east}, {"west 10.2.0", tt.west}} {
					line := fmt.Sprintf("%s.%d", tt.prefix, i+1)
					if i >= tt.n {
						line += " unready"
					}
					have = append(have, line)
				}
			}
			s := newScene(t, have...).policy(func(p *v1alpha1.TrafficPolicySpec) {
				p.Failover, p.Spillover = steps("east", "west"), &v1alpha1.Spillover{OverprovisioningPercent: tt.percent}
			})
			out := Services(s.Input)
			var east, all float64
			for _, d := range out.Services[0].Destinations {
				if d.Address.As4()[1] == 1 {
					east += float64(d.Weight)
				}
				all += float64(d.Weight)
			}
			for _, share := range []struct{ got, want float64 }{{east / all, tt.first}, {1 - east/all, tt.last}} {
				if off := share.got - share.want; off > coarse*share.want+1e-9 || -off > coarse*share.want+1e-9 {
					t.Errorf("east has %.4f of the flows, want %.4f", east/all, tt.first)
				}
			}
		})
	}
}

// Spillover goes over the levels of a preference too, and over three of them.
func TestSpilloverByZone(t *testing.T) {
	s := newScene(t, "west 10.2.0.1 zone=a", "west 10.2.0.2 zone=a unready", "west 10.2.0.3 zone=a unready", "west 10.2.0.4 zone=a unready",
		"east 10.1.0.1 zone=a", "east 10.1.0.2 zone=a unready", "east 10.1.0.3 zone=a unready", "east 10.1.0.4 zone=a unready",
		"west 10.2.1.1 zone=b", "north 10.3.0.1").distribution("PreferSameZone").policy(func(p *v1alpha1.TrafficPolicySpec) {
		p.Spillover = &v1alpha1.Spillover{OverprovisioningPercent: 140}
	})
	s.wants(0, "10.1.0.1*7 10.2.0.1*7 10.2.1.1*6") // 35, 35 and the 30 that are left
}

func TestLastResort(t *testing.T) {
	s := newScene(t, "west 10.2.0.1 unready", "west 10.2.0.2 leaving", "west 10.2.0.3 gone", "east 10.1.0.1", "east 10.1.0.2 leaving", "north 10.3.0.1")
	s.wants(0, "10.1.0.1*1 10.1.0.2*0 10.2.0.2*0 10.3.0.1*1")
	s.unreachable("east")
	s.wants(1*time.Second, "10.1.0.1*0 10.1.0.2*0 10.2.0.2*0 10.3.0.1*1")
	s.unreachable("east", "north") // links are called down by probes, which may be wrong
	s.wants(2*time.Second, "10.1.0.1*1 10.1.0.2*0 10.2.0.2*0 10.3.0.1*1")
	s.have("west 10.2.0.1 unready", "west 10.2.0.2 leaving", "west 10.2.0.3 gone", "east 10.1.0.1 unready", "east 10.1.0.2 leaving")
	s.wants(3*time.Second, "10.1.0.1*0 10.1.0.2*1 10.2.0.2*1")
	s.have("west 10.2.0.1 unready", "west 10.2.0.3 gone")
	s.wants(4*time.Second, "") // refused
	s.have()
	s.wants(5*time.Second, "")
}

// The last resort keeps the order of levels and the weights.
func TestLastResortByPolicy(t *testing.T) {
	s := newScene(t, "east 10.1.0.1", "north 10.3.0.1", "south 10.4.0.1", "west 10.2.0.1")
	s.policy(func(p *v1alpha1.TrafficPolicySpec) {
		p.Failover, p.Weights = steps("east north"), weights("east", 3, "north", 1, "west", 0)
	})
	s.unreachable("east", "north", "south")
	s.wants(0, "10.1.0.1*3 10.3.0.1*1")
	s.have("south 10.4.0.1", "west 10.2.0.1")
	s.wants(time.Second, "10.4.0.1*1") // never the one of weight 0
}

func TestSchedulers(t *testing.T) {
	for given, want := range map[v1alpha1.Scheduler]v1alpha1.Scheduler{
		"": v1alpha1.SchedulerRoundRobin, "Unheard": v1alpha1.SchedulerRoundRobin, "RoundRobin": v1alpha1.SchedulerRoundRobin,
		"LeastConnection": v1alpha1.SchedulerLeastConnection, "ConsistentHash": v1alpha1.SchedulerConsistentHash, "Random": v1alpha1.SchedulerRandom,
	} {
		s := newScene(t, everywhere...).local().policy(func(p *v1alpha1.TrafficPolicySpec) { p.Scheduler = given })
		if got := Services(s.Input).Services[0].Scheduler; got != want {
			t.Errorf("%q is %s, want %s", given, got, want)
		}
	}
}

// The own cluster is always reachable.
func TestOwnCluster(t *testing.T) {
	s := newScene(t, "west 10.2.0.1", "east 10.1.0.1")
	s.unreachable("west")
	s.wants(0, "10.1.0.1*1 10.2.0.1*1")
}

// What differs in anything but the destinations is another plan too.
func TestChangedService(t *testing.T) {
	s := newScene(t, "west 10.2.0.1")
	s.wants(0, "10.2.0.1*1")
	s.policy(func(p *v1alpha1.TrafficPolicySpec) { p.Scheduler = v1alpha1.SchedulerRandom }).wants(0, "10.2.0.1*1")
	if got := s.last.Services[0].Scheduler; got != v1alpha1.SchedulerRandom {
		t.Errorf("scheduler %s", got)
	}
	s.Import.Spec.SessionAffinity = corev1.ServiceAffinityClientIP
	if s.wants(0, "10.2.0.1*1"); s.last.Services[0].Affinity != defaultAffinity {
		t.Errorf("affinity %s", s.last.Services[0].Affinity)
	}
	s.Import.Spec.IPs[0] = "244.0.0.2"
	if s.wants(0, "10.2.0.1*1"); s.last.Services[0].Address.String() != "244.0.0.2" {
		t.Errorf("address %s", s.last.Services[0].Address)
	}
}

// Levels that are others have another fingerprint; what changes shares only has not.
func TestFingerprint(t *testing.T) {
	fingerprint := func(edit func(*scene)) uint64 {
		s := newScene(t)
		edit(s)
		r := newRanking(&s.Import.Spec, s.Policy, &s.Place)
		return r.fingerprint()
	}
	policy := func(edit func(*v1alpha1.TrafficPolicySpec)) func(*scene) { return func(s *scene) { s.policy(edit) } }
	type spec = v1alpha1.TrafficPolicySpec
	seen := map[uint64]int{}
	for i, edit := range []func(*scene){
		func(*scene) {}, func(s *scene) { s.local() }, func(s *scene) { s.Place.Locality = v1alpha1.LocalityLocalFirst },
		func(s *scene) { s.distribution("PreferSameZone") }, func(s *scene) { s.distribution("PreferSameNode") },
		func(s *scene) { s.distribution("PreferSameZone").Place.Zone = "b" },
		policy(func(p *spec) { p.Spillover = &v1alpha1.Spillover{} }),
		policy(func(p *spec) { p.Failover = steps("east") }), policy(func(p *spec) { p.Failover = steps("east west") }),
		policy(func(p *spec) { p.Failover = steps("east", "west") }), policy(func(p *spec) { p.Failover = steps("region:east") }),
		policy(func(p *spec) { p.Weights = weights("east", 1, "west", 1) }), policy(func(p *spec) { p.Weights = weights("east", 1, "west", 0) }),
		policy(func(p *spec) { p.Weights = weights("east", 1) }),
	} {
		f := fingerprint(edit)
		if other, twice := seen[f]; twice {
			t.Errorf("%d and %d have one fingerprint", other, i)
		}
		seen[f] = i
	}
	if fingerprint(policy(func(p *spec) { p.Weights = weights("east", 1, "west", 3) })) != fingerprint(policy(func(p *spec) { p.Weights = weights("west", 1, "east", 9) })) {
		t.Error("other shares have another fingerprint")
	}
}
