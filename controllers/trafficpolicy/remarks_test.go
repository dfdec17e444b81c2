package trafficpolicy

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// here is cluster east in region eu-1, of which the hub has told, with that backend.
func here(backend v1alpha1.DataplaneBackend) *v1alpha1.ClusterSet {
	return &v1alpha1.ClusterSet{
		Spec:   v1alpha1.ClusterSetSpec{ClusterID: "east", Dataplane: v1alpha1.DataplaneOptions{Backend: backend}},
		Status: v1alpha1.ClusterSetStatus{Index: 1, Region: "eu-1"},
	}
}

// web is an import like any other.
var web = &mcsv1beta1.ServiceImport{}

func TestIdle(t *testing.T) {
	local := &mcsv1beta1.ServiceImport{
		Spec: mcsv1beta1.ServiceImportSpec{InternalTrafficPolicy: ptr.To(corev1.ServiceInternalTrafficPolicyLocal)},
	}
	cluster := &mcsv1beta1.ServiceImport{
		Spec: mcsv1beta1.ServiceImportSpec{InternalTrafficPolicy: ptr.To(corev1.ServiceInternalTrafficPolicyCluster)},
	}
	weights := v1alpha1.TrafficPolicySpec{Weights: []v1alpha1.ClusterWeight{{Cluster: "east"}}}
	failover := v1alpha1.TrafficPolicySpec{Failover: []v1alpha1.FailoverStep{{Regions: []string{"eu-1"}}}}
	for _, tc := range []struct {
		name   string
		spec   v1alpha1.TrafficPolicySpec
		target *mcsv1beta1.ServiceImport
		want   bool
	}{
		{"weights", weights, local, true},
		{"failover", failover, local, true},
		{"a scheduler, which chooses among the node's", v1alpha1.TrafficPolicySpec{Scheduler: v1alpha1.SchedulerRandom}, local, false},
		{"weights of a Service that may leave the node", weights, cluster, false},
		{"weights of a Service that does not say", weights, web, false},
	} {
		got := surroundings{}.remarks(&tc.spec, tc.target)
		if strings.Contains(got, "internalTrafficPolicy Local") != tc.want {
			t.Errorf("%s: %q, want a remark: %v", tc.name, got, tc.want)
		}
	}
}

func TestBesides(t *testing.T) {
	derived := &mcsv1beta1.ServiceImport{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{v1alpha1.AnnotationDerivedService: "derived-1"}}}
	for target, want := range map[*mcsv1beta1.ServiceImport]bool{web: false, derived: true} {
		got := surroundings{}.remarks(&v1alpha1.TrafficPolicySpec{Scheduler: v1alpha1.SchedulerRandom}, target)
		if strings.Contains(got, "not those to the derived Service derived-1") != want {
			t.Errorf("%v: %q, want a remark: %v", target.Annotations, got, want)
		}
	}
}

func TestSubstitute(t *testing.T) {
	const auto, ipvs, nftables = v1alpha1.BackendAuto, v1alpha1.BackendIPVS, v1alpha1.BackendNFTables
	const random, least = v1alpha1.SchedulerRandom, v1alpha1.SchedulerLeastConnection
	const hash, inTurn = v1alpha1.SchedulerConsistentHash, v1alpha1.SchedulerRoundRobin
	for _, tc := range []struct {
		backend   v1alpha1.DataplaneBackend
		scheduler v1alpha1.Scheduler
		want      string
	}{
		{auto, random, "; nodes that serve with IPVS have no Random and use RoundRobin"},
		{auto, least, "; nodes that serve with nftables have no LeastConnection and use Random"},
		{ipvs, random, "; nodes serve with IPVS, which has no Random: they use RoundRobin"},
		{nftables, least, "; nodes serve with nftables, which has no LeastConnection: they use Random"},
		{ipvs, least, ""}, {nftables, random, ""},
		{auto, hash, ""}, {ipvs, hash, ""}, {nftables, hash, ""},
		{auto, inTurn, ""}, {ipvs, inTurn, ""}, {nftables, inTurn, ""},
		{auto, "", ""},
	} {
		got := newSurroundings(here(tc.backend), nil).remarks(&v1alpha1.TrafficPolicySpec{Scheduler: tc.scheduler}, web)
		if got != tc.want {
			t.Errorf("%s with backend %s: got %q, want %q", tc.scheduler, tc.backend, got, tc.want)
		}
	}
	if got := newSurroundings(nil, nil).remarks(&v1alpha1.TrafficPolicySpec{Scheduler: random}, web); got != "" {
		t.Errorf("without a ClusterSet: %q", got)
	}
}

func TestSilentAndRepeated(t *testing.T) {
	west := v1alpha1.RemoteCluster{ObjectMeta: metav1.ObjectMeta{Name: "west"}}
	ofEast := &mcsv1beta1.ServiceImport{Status: mcsv1beta1.ServiceImportStatus{Clusters: []mcsv1beta1.ClusterStatus{{Cluster: "east"}}}}
	step := func(clusters ...v1alpha1.ClusterID) v1alpha1.FailoverStep {
		return v1alpha1.FailoverStep{Clusters: clusters}
	}
	for _, tc := range []struct {
		name   string
		spec   v1alpha1.TrafficPolicySpec
		target *mcsv1beta1.ServiceImport
		want   string
	}{
		{"a share for one that does not export", v1alpha1.TrafficPolicySpec{Weights: []v1alpha1.ClusterWeight{{Cluster: "east", Weight: 5}, {Cluster: "west", Weight: 5}}},
			ofEast, "; weights name cluster west, which does not export the Service now"},
		{"none for one that does not export", v1alpha1.TrafficPolicySpec{Weights: []v1alpha1.ClusterWeight{{Cluster: "west"}}}, ofEast, ""},
		{"nobody is known to export", v1alpha1.TrafficPolicySpec{Weights: []v1alpha1.ClusterWeight{{Cluster: "west", Weight: 5}}}, web, ""},
		{"in two steps", v1alpha1.TrafficPolicySpec{Failover: []v1alpha1.FailoverStep{step("west"), step("east", "west"), step("west")}},
			ofEast, "; cluster west is in several steps of failover: only the first counts"},
		{"in one step each", v1alpha1.TrafficPolicySpec{Failover: []v1alpha1.FailoverStep{step("west"), step("east")}}, ofEast, ""},
	} {
		if got := newSurroundings(here("auto"), []v1alpha1.RemoteCluster{west}).remarks(&tc.spec, tc.target); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}

func TestUnknown(t *testing.T) {
	west := v1alpha1.RemoteCluster{ObjectMeta: metav1.ObjectMeta{Name: "west"}, Spec: v1alpha1.RemoteClusterSpec{Region: "us-1"}}
	in := func(names ...string) string {
		return "; the policy names " + strings.Join(names, ", ") + ", which the clusterset does not have: correct the name, or wait until it joins"
	}
	many, firstFour := v1alpha1.TrafficPolicySpec{}, []string{}
	for i := range 64 {
		many.Weights = append(many.Weights, v1alpha1.ClusterWeight{Cluster: v1alpha1.ClusterID(fmt.Sprintf("c%02d", i))})
		if i < 4 {
			firstFour = append(firstFour, fmt.Sprintf("cluster c%02d", i))
		}
	}
	untold := here(v1alpha1.BackendAuto)
	untold.Status = v1alpha1.ClusterSetStatus{}
	for _, tc := range []struct {
		name string
		set  *v1alpha1.ClusterSet
		spec v1alpha1.TrafficPolicySpec
		want string
	}{
		{"none named", here("auto"), v1alpha1.TrafficPolicySpec{}, ""},
		{"all there", here("auto"), v1alpha1.TrafficPolicySpec{
			Weights:  []v1alpha1.ClusterWeight{{Cluster: "east"}, {Cluster: "west"}},
			Failover: []v1alpha1.FailoverStep{{Clusters: []v1alpha1.ClusterID{"west"}, Regions: []string{"eu-1"}}, {Regions: []string{"us-1"}}},
		}, ""},
		{"in weights", here("auto"), v1alpha1.TrafficPolicySpec{Weights: []v1alpha1.ClusterWeight{{Cluster: "wset"}, {Cluster: "west"}}},
			in("cluster wset")},
		{"a region is no cluster", here("auto"), v1alpha1.TrafficPolicySpec{
			Failover: []v1alpha1.FailoverStep{{Clusters: []v1alpha1.ClusterID{"us-1"}, Regions: []string{"west"}}},
		}, in("cluster us-1", "region west")},
		{"each once", here("auto"), v1alpha1.TrafficPolicySpec{
			Weights:  []v1alpha1.ClusterWeight{{Cluster: "b"}},
			Failover: []v1alpha1.FailoverStep{{Clusters: []v1alpha1.ClusterID{"b"}}, {Clusters: []v1alpha1.ClusterID{"a"}}},
		}, in("cluster a", "cluster b")},
		{"so many that not all are named", here("auto"), many, in(append(firstFour, "cluster c04 and 59 more")...)},
		{"before the hub has told who is a member", untold, many, ""},
		{"without a ClusterSet", nil, many, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := newSurroundings(tc.set, []v1alpha1.RemoteCluster{west}).remarks(&tc.spec, web); got != tc.want {
				t.Errorf("got  %q\nwant %q", got, tc.want)
			}
		})
	}
}
