package plan

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

var update = flag.Bool("update", false, "write the goldens anew")

// golden compares with a file in testdata.
func golden(t *testing.T, name string, got any) {
	t.Helper()
	text, err := json.MarshalIndent(got, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	text = append(text, '\n')
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(text)); diff != "" {
		t.Errorf("%s (-want +got)\n%s", path, diff)
	}
}

func TestExplain(t *testing.T) {
	tests := map[string]func(*scene){
		"explain-zone.json": func(s *scene) {
			s.distribution("PreferSameZone")
			s.have(everywhere...)
			s.Memory = Services(s.Input).Memory
			// This zone has failed, and one pod is back; another cluster's terminates.
			s.have("west 10.2.0.1 zone=a node=worker unready", "west 10.2.0.2 zone=a node=other unready", "east 10.1.0.1 zone=a", "east 10.1.0.2 zone=b")
			s.Now = start.Add(second(1))
			s.Memory = Services(s.Input).Memory
			s.have("west 10.2.0.1 zone=a node=worker", "west 10.2.0.2 zone=a node=other unready", "west 10.2.0.9 zone=b port=9090", "west fd02::1",
				"east 10.1.0.1 zone=a", "east 10.1.0.2 zone=b leaving", "east 10.1.0.3 gone", "north 10.3.0.1 zone=a", "south 10.4.0.1")
			s.Slices[1].Ports[0].Name = nil // it has no port of that name
			s.unreachable("north")
			s.Now = start.Add(second(2))
		},
		"explain-policy.json": func(s *scene) {
			s.policy(func(p *v1alpha1.TrafficPolicySpec) {
				p.Failover, p.Weights = steps("west east", "region:eu"), weights("west", 95, "east", 5, "south", 0)
				p.Spillover, p.Scheduler = &v1alpha1.Spillover{OverprovisioningPercent: 100}, v1alpha1.SchedulerLeastConnection
			})
			s.have("west 10.2.0.1", "west 10.2.0.2 unready", "east 10.1.0.1", "east 10.1.0.2", "north 10.3.0.1", "south 10.4.0.1")
			s.Import.Spec.SessionAffinity = "ClientIP"
		},
		"explain-refused.json": func(s *scene) { s.local().have(without(1)...) },
		"explain-last-resort.json": func(s *scene) {
			s.have("west 10.2.0.1 unready", "east 10.1.0.1", "east 10.1.0.2 leaving")
			s.unreachable("east")
		},
	}
	for name, edit := range tests {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			edit(s)
			golden(t, name, Explain(s.Input))
		})
	}
}

// The sentences that depend on what carries the flows.
func TestOutcome(t *testing.T) {
	tests := map[string]func(*scene){
		"refused: there is no endpoint with this port":                                                         func(s *scene) { s.have() },
		"refused: no endpoint that may get new flows is ready":                                                 func(s *scene) { s.have("west 10.2.0.1 unready") },
		"refused: no endpoint on this node is ready, and internalTrafficPolicy is Local":                       func(s *scene) { s.local() },
		"level 1 (all endpoints) gets 100 % of new flows":                                                      func(*scene) {},
		"level 1 (all endpoints) gets 100 % of new flows, though its endpoints are terminating: none is ready": func(s *scene) { s.have("west 10.2.0.1 leaving") },
		"level 2 (in other clusters) gets 100 % of new flows":                                                  func(s *scene) { s.have(far); s.Place.Locality = v1alpha1.LocalityLocalFirst },
		"level 1 (failover step 1) gets 50 % of new flows, level 2 (clusters in no failover step) gets 50 % of new flows": func(s *scene) {
			s.have("east 10.1.0.1", "east 10.1.0.2 unready", "west 10.2.0.1")
			s.policy(func(p *v1alpha1.TrafficPolicySpec) {
				p.Failover, p.Spillover = steps("east"), &v1alpha1.Spillover{OverprovisioningPercent: 100}
			})
		},
		"level 2 (clusters without a weight) gets 100 % of new flows": func(s *scene) {
			s.policy(func(p *v1alpha1.TrafficPolicySpec) { p.Weights = weights("east", 1) })
		},
	}
	for want, edit := range tests {
		s := newScene(t, "west 10.2.0.1")
		edit(s)
		if got := Explain(s.Input)[0].Outcome; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	if got := Explain(Input{Import: imported(nil)}); len(got) != 0 {
		t.Errorf("of an import without addresses: %+v", got)
	}
}
