//go:build integration

package endpointslice_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/mcs"
	"github.com/tombolo-net/tombolo/controllers/mcs/screen"
	"github.com/tombolo-net/tombolo/test/harness/members"
)

// notes are what was noted last of each cluster's object, as reasons.
type notes map[string][]string

func (n notes) Note(cluster v1alpha1.ClusterID, object string, skipped ...screen.Skipped) {
	n[string(cluster)+" "+object] = nil
	for _, s := range skipped {
		n[string(cluster)+" "+object] = append(n[string(cluster)+" "+object], fmt.Sprintf("%s %d", s.Reason, s.Count))
	}
}

func editHub(t *testing.T, e *members.Env, obj client.Object) {
	t.Helper()
	if err := e.Hub.Update(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
}

// What a cluster publishes that it should not is left out, endpoint by endpoint, and noted; the
// rest is imported, by a real API server.
func TestMalformedContent(t *testing.T) {
	e, r, _ := newEnv(t, "malformed")
	noted := notes{}
	r.Skipped = noted
	_, published := e.Hub.Publish(t, "west", "malformed", "web",
		[]string{"10.2.0.1", "10.9.0.1", "10.2.0.2"}, []string{"10.2.0.3"})
	first, second := published[0], published[1]
	first.Endpoints[0].Zone = ptr.To("not a zone")
	first.Endpoints[2].Hostname = ptr.To(strings.Repeat("h", 63))
	editHub(t, e, first)
	e.Step(t, r, "malformed", first.Name)
	e.Step(t, r, "malformed", second.Name)
	got := get(t, e, "malformed", first.Name)
	if diff := cmp.Diff([]string{"10.2.0.1", "10.2.0.2"}, addresses(got)); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
	if got.Endpoints[0].Zone != nil || ptr.Deref(got.Endpoints[1].Hostname, "") == "" {
		t.Errorf("endpoints %+v, want no zone and a hostname", got.Endpoints)
	}
	want := []string{"InvalidEndpointField 1", "UnapprovedAddress 1"}
	if diff := cmp.Diff(want, noted["west EndpointSlice "+first.Name]); diff != "" {
		t.Errorf("noted (-want +got):\n%s", diff)
	}
	if get(t, e, "malformed", second.Name) == nil || len(noted["west EndpointSlice "+second.Name]) != 0 {
		t.Errorf("the slice without fault: %+v, noted %v", get(t, e, "malformed", second.Name), noted)
	}
	if err := e.Hub.Delete(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	e.Step(t, r, "malformed", first.Name)
	if left := noted["west EndpointSlice "+first.Name]; len(left) != 0 {
		t.Errorf("still noted when it is gone: %v", left)
	}
}

// Of too many endpoints the same ones are taken by all: those of the slices with the lowest names.
func TestTooManyEndpoints(t *testing.T) {
	e, r, _ := newEnv(t, "many")
	noted := notes{}
	r.Skipped = noted
	var lists [][]string
	for i := range 6 {
		var list []string
		for j := range 1000 {
			list = append(list, fmt.Sprintf("10.2.%d.%d", i*4+j/250, j%250+1))
		}
		lists = append(lists, list)
	}
	_, published := e.Hub.Publish(t, "west", "many", "web", lists...)
	total := 0
	for i, s := range published {
		e.Step(t, r, "many", s.Name)
		got := get(t, e, "many", s.Name)
		total += len(got.Endpoints)
		if i == 5 && (len(got.Endpoints) != 0 || len(noted["west EndpointSlice "+s.Name]) != 1) {
			t.Errorf("%d endpoints of the last slice are imported, noted %v", len(got.Endpoints), noted)
		}
	}
	if total != screen.DefaultLimits().EndpointsPerService {
		t.Errorf("%d endpoints are imported, want %d", total, screen.DefaultLimits().EndpointsPerService)
	}
}

// Hints are this cluster's, and follow the ServiceImport and the Members.
func TestHints(t *testing.T) {
	e, r, owner := newEnv(t, "hints")
	_, published := e.Hub.Publish(t, "west", "hints", "web", []string{"10.2.0.1"})
	published[0].Endpoints[0].Hints = &discoveryv1.EndpointHints{ForZones: []discoveryv1.ForZone{{Name: "theirs"}}}
	published[0].Endpoints[0].Zone = ptr.To(strings.Repeat("z", 63))
	editHub(t, e, published[0])
	hint := func() string {
		t.Helper()
		e.Step(t, r, "hints", published[0].Name)
		if hints := get(t, e, "hints", published[0].Name).Endpoints[0].Hints; hints != nil {
			return hints.ForZones[0].Name
		}
		return ""
	}
	if got := hint(); got != "" {
		t.Errorf("without trafficDistribution there is a hint for %s", got)
	}
	owner.Spec.TrafficDistribution = ptr.To(corev1.ServiceTrafficDistributionPreferClose)
	if err := e.Update(t.Context(), owner); err != nil {
		t.Fatal(err)
	}
	if got := hint(); !strings.HasPrefix(got, "west.zzz") || len(got) != 63 {
		t.Errorf("the hint is for %s, want a zone of west", got)
	}
	for _, name := range []string{string(members.Own), "west"} {
		member := &v1alpha1.Member{ObjectMeta: members.Meta(v1alpha1.DefaultHubNamespace, name)}
		if err := e.Hub.Get(t.Context(), client.ObjectKeyFromObject(member), member); err != nil {
			t.Fatal(err)
		}
		member.Spec.Region, member.Spec.ZoneDomain = "r1", "example.com"
		editHub(t, e, member)
	}
	if got := hint(); got != *published[0].Endpoints[0].Zone {
		t.Errorf("the hint is for %s, want the zone that both share", got)
	}
}

// What somebody does to an imported slice is undone; what is his own stays.
func TestSliceDrift(t *testing.T) {
	e, r, _ := newEnv(t, "drift")
	_, published := e.Hub.Publish(t, "west", "drift", "web", []string{"10.2.0.1"}, []string{"10.2.0.2"})
	name := published[0].Name
	e.Step(t, r, "drift", name)
	want := get(t, e, "drift", name)
	for _, tt := range []struct {
		what string
		edit func(*discoveryv1.EndpointSlice)
	}{
		{"endpoints", func(s *discoveryv1.EndpointSlice) { s.Endpoints = nil }},
		{"ports", func(s *discoveryv1.EndpointSlice) { s.Ports[0].Port = ptr.To[int32](1) }},
		{"a label", func(s *discoveryv1.EndpointSlice) { delete(s.Labels, corev1.IsHeadlessService) }},
		{"all labels", func(s *discoveryv1.EndpointSlice) { s.Labels = nil }},
		{"a label more", func(s *discoveryv1.EndpointSlice) { s.Labels[discoveryv1.LabelServiceName] = "web" }},
		{"owner", func(s *discoveryv1.EndpointSlice) { s.OwnerReferences = nil }},
		{"hints", func(s *discoveryv1.EndpointSlice) {
			s.Endpoints[0].Hints = &discoveryv1.EndpointHints{ForZones: []discoveryv1.ForZone{{Name: "a"}}}
		}},
		{"another cluster", func(s *discoveryv1.EndpointSlice) { s.Labels[v1alpha1.LabelSourceCluster] = "north" }},
	} {
		t.Run(tt.what, func(t *testing.T) {
			edited := get(t, e, "drift", name)
			tt.edit(edited)
			if err := e.Update(t.Context(), edited); err != nil {
				t.Fatal(err)
			}
			e.Step(t, r, "drift", name)
			if got := get(t, e, "drift", name); !mcs.SameSlice(got, want) {
				t.Errorf("not repaired:\n%s", cmp.Diff(want, got))
			}
		})
	}
	foreign := members.Slice("drift", published[1].Name, "web", "10.1.0.9")
	e.Make(t, foreign)
	e.Step(t, r, "drift", foreign.Name)
	if got := get(t, e, "drift", foreign.Name); got.ResourceVersion != foreign.ResourceVersion {
		t.Errorf("somebody else's slice was changed: %+v", got)
	}
}
