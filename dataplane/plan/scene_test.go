package plan

import (
	"fmt"
	"net/netip"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/utils/ptr"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// start is when the tests' clocks start.
var start = time.Date(2027, 3, 1, 12, 0, 0, 0, time.UTC)

// scene is one import, planned again and again as time goes by. This is node "worker" of cluster
// west, in zone a of region eu; east shares the region and its zones, north is in the region
// without sharing zones, south is elsewhere.
type scene struct {
	t *testing.T
	Input
	last Output
}

func newScene(t *testing.T, endpoints ...string) *scene {
	t.Helper()
	s := &scene{t: t, Input: Input{Import: imported([]string{"244.0.0.1"}, port("http", "TCP", 80)), Place: place(), Now: start}}
	s.Place.Zone, s.Place.Area, s.Place.FailBack = "a", clusterset.Area{Region: "eu", ZoneDomain: "one"}, 30*time.Second
	s.Place.Remotes = map[v1alpha1.ClusterID]Remote{
		"east":  {Area: clusterset.Area{Region: "eu", ZoneDomain: "one"}},
		"north": {Area: clusterset.Area{Region: "eu", ZoneDomain: "two"}},
		"south": {Area: clusterset.Area{Region: "us", ZoneDomain: "one"}},
	}
	s.have(endpoints...)
	return s
}

// have are the endpoints from now on, as "CLUSTER ADDRESS [zone=ZONE] [node=NODE] [port=NUMBER]
// [unready|leaving|gone]".
func (s *scene) have(endpoints ...string) {
	s.t.Helper()
	s.Slices = nil
	byName := map[string]*discoveryv1.EndpointSlice{}
	for _, line := range endpoints {
		fields := strings.Fields(line)
		e := ready(fields[1])
		number := int32(8080)
		for _, f := range fields[2:] {
			key, value, _ := strings.Cut(f, "=")
			switch key {
			case "zone":
				e.Zone = ptr.To(value)
			case "node":
				e.NodeName = ptr.To(value)
			case "port":
				n, err := strconv.Atoi(value)
				if err != nil {
					s.t.Fatal(err)
				}
				number = int32(n)
			case "unready":
				e.Conditions = conditions(false, false, false)
			case "leaving":
				e.Conditions = conditions(false, true, true)
			case "gone":
				e.Conditions = conditions(false, false, true)
			default:
				s.t.Fatalf("what is %q of %q?", f, line)
			}
		}
		family := discoveryv1.AddressTypeIPv4
		if strings.Contains(fields[1], ":") {
			family = discoveryv1.AddressTypeIPv6
		}
		name := fmt.Sprintf("%s.web-%s-%d", fields[0], family, number)
		if byName[name] == nil {
			protocol := s.Import.Spec.Ports[0].Protocol
			byName[name] = slice(fields[0], family, []discoveryv1.EndpointPort{slicePort("http", protocol, number)})
			byName[name].Name = name
			s.Slices = append(s.Slices, byName[name])
		}
		byName[name].Endpoints = append(byName[name].Endpoints, e)
	}
}

func conditions(ready, serving, terminating bool) discoveryv1.EndpointConditions {
	return discoveryv1.EndpointConditions{Ready: &ready, Serving: &serving, Terminating: &terminating}
}

// unreachable are the clusters to which no link leads from now on.
func (s *scene) unreachable(clusters ...v1alpha1.ClusterID) {
	remotes := map[v1alpha1.ClusterID]Remote{}
	for id, r := range s.Place.Remotes {
		r.Unreachable = false
		remotes[id] = r
	}
	for _, id := range clusters {
		remotes[id] = Remote{Area: remotes[id].Area, Unreachable: true}
	}
	s.Place.Remotes = remotes
}

// wants plans at so long after the start and tells what differs from want: "ADDRESS*WEIGHT ...", of
// the first address of the import, without its port if that is 8080. Planned again at that time
// nothing may change.
func (s *scene) wants(after time.Duration, want string) {
	s.t.Helper()
	s.Now = start.Add(after)
	s.last = Services(s.Input)
	s.Memory = s.last.Memory
	if got := destinationsText(s.last.Services); got != want {
		s.t.Errorf("after %s:\ngot  %s\nwant %s", after, got, want)
	}
	if again := Services(s.Input); !reflect.DeepEqual(again, s.last) {
		s.t.Errorf("after %s: planned again\ngot  %+v\nwant %+v", after, again, s.last)
	}
}

// wantsAgain tells if the next plan is not due so long after the start; zero: not at all.
func (s *scene) wantsAgain(after time.Duration) {
	s.t.Helper()
	want := time.Time{}
	if after > 0 {
		want = start.Add(after)
	}
	if !s.last.Again.Equal(want) {
		s.t.Errorf("again at %v, want %v", s.last.Again, want)
	}
}

func destinationsText(services []VirtualService) string {
	if len(services) == 0 {
		return "nothing"
	}
	var all []string
	for _, d := range services[0].Destinations {
		at := d.Address.String()
		if d.Port != 8080 {
			at = netip.AddrPortFrom(d.Address, d.Port).String()
		}
		all = append(all, fmt.Sprintf("%s*%d", at, d.Weight))
	}
	return strings.Join(all, " ")
}

func (s *scene) distribution(value string) *scene {
	s.Import.Spec.TrafficDistribution = &value
	return s
}

func (s *scene) local() *scene {
	s.Import.Spec.InternalTrafficPolicy = ptr.To(corev1.ServiceInternalTrafficPolicyLocal)
	return s
}

func (s *scene) protocol(p corev1.Protocol) *scene {
	s.Import.Spec.Ports = []mcsv1beta1.ServicePort{port("http", p, 80)}
	return s
}

func (s *scene) policy(edit func(*v1alpha1.TrafficPolicySpec)) *scene {
	p := &v1alpha1.TrafficPolicy{}
	p.Name = "order"
	edit(&p.Spec)
	s.Policy = p
	return s
}

// weights as pairs of a cluster and its weight.
func weights(pairs ...any) []v1alpha1.ClusterWeight {
	var all []v1alpha1.ClusterWeight
	for i := 0; i < len(pairs); i += 2 {
		all = append(all, v1alpha1.ClusterWeight{Cluster: v1alpha1.ClusterID(pairs[i].(string)), Weight: int32(pairs[i+1].(int))})
	}
	return all
}

// steps of clusters and, after "region:", regions.
func steps(all ...string) []v1alpha1.FailoverStep {
	var found []v1alpha1.FailoverStep
	for _, text := range all {
		var step v1alpha1.FailoverStep
		for _, name := range strings.Fields(text) {
			if region, ok := strings.CutPrefix(name, "region:"); ok {
				step.Regions = append(step.Regions, region)
			} else {
				step.Clusters = append(step.Clusters, v1alpha1.ClusterID(name))
			}
		}
		found = append(found, step)
	}
	return found
}
