//go:build kernel

package agent

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/dataplane/nftables"
	"github.com/tombolo-net/tombolo/internal/node"
	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// huge is how many endpoints one import has.
const huge = 5000

// hugeEndpoint is one of those, in the block where newCrowd answers.
func hugeEndpoint(i int) string { return fmt.Sprintf("10.1.%d.%d", 64+i/250, 1+i%250) }

// hugeSlices are those of an import of so many endpoints, of two clusters in turn: 100 in each
// slice.
func hugeSlices(name string, n int) (all []*discoveryv1.EndpointSlice) {
	for i := 0; i < n; i += 100 {
		s := slice(name, []string{"east", "north"}[i/100%2], 8080)
		s.Name = fmt.Sprintf("%s-%d", s.Name, i)
		for j := i; j < min(i+100, n); j++ {
			s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{hugeEndpoint(j)}})
		}
		all = append(all, s)
	}
	return all
}

// badImports applies imports that can be served in part only. It returns the words of the event
// about each import; empty if there is no event.
func (f *fixture) badImports() map[string][]string {
	f.t.Helper()
	f.apply(imported("strange", "244.0.0.1", web80))
	f.apply(slice("strange", "east", 8080, "127.0.0.1", "169.254.1.1", "244.0.9.9", "192.0.2.1", "10.1.64.1"))
	f.apply(imported("twice", "244.0.0.2", web80, mcsv1beta1.ServicePort{Name: "again", Port: 80}))
	f.apply(slice("twice", "east", 8080, "10.1.64.2"))
	f.apply(imported("family", "244.0.0.3", web80))
	f.apply(slice("family", "east", 8080, "10.1.64.3"))
	six := slice("family", "north", 8080, "fd00:1::5")
	six.AddressType = discoveryv1.AddressTypeIPv6
	f.apply(six)
	f.apply(imported("nobody", "244.0.0.4", web80))
	f.apply(slice("nobody", "east", 8080))
	f.apply(imported("outside", "243.0.0.5", web80))
	f.apply(imported("huge", "244.0.0.7", web80))
	for _, s := range hugeSlices("huge", huge) {
		f.apply(s)
	}
	return map[string][]string{
		"strange": {`"127.0.0.1" of cluster east: it is a loopback address`, `"169.254.1.1" of cluster east: it is a link-local`, `"192.0.2.1" of cluster east: it is this node's own`, "and 1 more"},
		"twice":   {`port 80/TCP "again": another port has its number`},
		"family":  {"IPv6 endpoints: the ServiceImport has no clusterset IP of that family"},
		"outside": {`clusterset IP "243.0.0.5": it is outside the VIP CIDRs`},
		"nobody":  nil, "huge": nil,
	}
}

// endpointsOf returns which addresses get new flows to port 80 of each clusterset IP, and how many
// parts of the flows each gets, as ipvsadm and nft list them. For thousands of endpoints that takes
// seconds.
func endpointsOf(node *netns.Namespace, backend v1alpha1.DataplaneBackend) map[string]map[string]int {
	all := map[string]map[string]int{}
	add := func(vip, endpoint string, parts int) {
		if all[vip] == nil {
			all[vip] = map[string]int{}
		}
		if parts > 0 {
			all[vip][endpoint] += parts
		}
	}
	if backend == v1alpha1.BackendNFTables {
		slot := regexp.MustCompile(`([0-9.]+) \. tcp \. 80 \. \d+ : ([0-9.]+) \. 8080`)
		for _, match := range slot.FindAllStringSubmatch(node.Run("nft", "list", "map", "inet", nftables.TableName, "slots4"), -1) {
			add(match[1], match[2], 1)
		}
		return all
	}
	vip := ""
	for line := range strings.Lines(node.Run("ipvsadm", "-Ln")) {
		switch f := strings.Fields(line); {
		case len(f) > 1 && f[0] == "TCP":
			vip = strings.TrimSuffix(f[1], ":80")
		case len(f) > 3 && f[0] == "->" && f[2] == "Masq":
			weight, _ := strconv.Atoi(f[3])
			add(vip, strings.TrimSuffix(f[1], ":8080"), weight)
		}
	}
	return all
}

// TestBadInput: with both backends, each thing that cannot be served is left out alone, counted and
// reported. The rest works.
func TestBadInput(t *testing.T) {
	for _, backend := range []v1alpha1.DataplaneBackend{v1alpha1.BackendIPVS, v1alpha1.BackendNFTables} {
		t.Run(string(backend), func(t *testing.T) { badInput(t, backend) })
	}
}

func badInput(t *testing.T, backend v1alpha1.DataplaneBackend) {
	worker, pod, gatewayNet, away := newWorker(t)
	away.Run("ip", "route", "add", "local", "10.1.64.0/18", "dev", "lo", "table", "local")
	f := newFixture(t, worker, nodeObject("gateway", "192.0.2.2", "10.2.0.0/24"), gatewayNode("gateway", "192.0.2.2", 3),
		remote("east", "10.1.0.0/16"), remote("north", "10.3.0.0/16", "10.1.64.0/18", "fd00:1::/64"))
	set := clusterSet()
	set.Spec.Dataplane.Backend = backend
	f.applyStatus(set)
	var events recordedEvents
	f.agent.cfg.Events = &events
	told := f.badImports()
	f.on("gateway", gatewayNet).pass(node.Marked)
	f.pass(node.Marked)

	left, crowded := 4+1+1+1, 0
	if backend == v1alpha1.BackendNFTables {
		crowded = huge - nftables.MaxSlots
		told["huge"] = []string{fmt.Sprintf("%d endpoints of TCP 244.0.0.7:80: nftables shares", crowded)}
	}
	for name, words := range told {
		about := slices.DeleteFunc(slices.Clone(events), func(e string) bool { return !strings.Contains(e, "default/"+name+" ") })
		if len(about) != min(len(words), 1) {
			t.Errorf("%s: told %q", name, about)
		}
		for _, word := range words {
			if len(about) > 0 && !strings.Contains(about[0], word) {
				t.Errorf("%s: told %q, want %q in it", name, about[0], word)
			}
		}
	}
	if n := total(t, f.agent.cfg.Metrics.skipped); int(n) != left+crowded {
		t.Errorf("%v are counted as skipped, want %d", n, left+crowded)
	}
	for name, words := range told {
		in, err := f.agent.serviceInput(t.Context(), types.NamespacedName{Namespace: "default", Name: name}, time.Now())
		if skipped := explain(in, backend).Skipped; err != nil || (len(skipped) > 0) != (len(words) > 0) {
			t.Errorf("%s: explained as %v, %v", name, skipped, err)
		}
	}
	condition := f.condition()
	if !strings.HasPrefix(condition, "True Ready") || strings.Contains(condition, "TCP 244.0.0.7:80") != (crowded > 0) {
		t.Errorf("condition %q", condition)
	}
	programmed := endpointsOf(worker, backend)
	for _, tt := range []struct {
		vip  string
		want map[string]int
	}{
		{"244.0.0.1", map[string]int{"10.1.64.1": 1}}, {"244.0.0.2", map[string]int{"10.1.64.2": 1}}, {"244.0.0.3", map[string]int{"10.1.64.3": 1}}, {"244.0.0.4", map[string]int{}}, {"243.0.0.5", map[string]int{}},
	} {
		if got := programmed[tt.vip]; !maps.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.vip, got, tt.want)
		}
		answer, err := pod.Ask("tcp", tt.vip+":80")
		switch {
		case len(tt.want) > 0 && (answer != "away 10.2.1.5" || err != nil):
			t.Errorf("%s: %q, %v", tt.vip, answer, err)
		case tt.vip == "244.0.0.4" && (err == nil || !strings.Contains(err.Error(), "refused")):
			t.Errorf("%s: %q, %v; want a refusal", tt.vip, answer, err)
		}
	}
	f.hugeImport(backend, pod, programmed["244.0.0.7"])
	f.quiet()
}

// hugeImport checks the import with very many endpoints: all of them get equal flows, except those
// that nftables has no slot for. Then one endpoint goes, and then the clusters have weights.
func (f *fixture) hugeImport(backend v1alpha1.DataplaneBackend, pod *netns.Namespace, before map[string]int) {
	t := f.t
	served := huge
	if backend == v1alpha1.BackendNFTables {
		served = nftables.MaxSlots
	}
	if parts := slices.Sorted(maps.Values(before)); len(before) != served || parts[0] != 1 || parts[len(parts)-1] != 1 {
		t.Fatalf("%d endpoints get flows, want %d with one part each", len(before), served)
	}
	for i := range 30 {
		if answer, err := pod.Ask("tcp", "244.0.0.7:80"); answer != "away 10.2.1.5" {
			t.Errorf("flow %d: %q, %v", i, answer, err)
		}
	}
	gone := slices.Sorted(maps.Keys(before))[0]
	for _, s := range hugeSlices("huge", huge) {
		s.Endpoints = slices.DeleteFunc(s.Endpoints, func(e discoveryv1.Endpoint) bool { return e.Addresses[0] == gone })
		if len(s.Endpoints) < 100 {
			f.apply(s)
		}
	}
	writes := f.writes()
	f.pass(node.Marked)
	after := endpointsOf(f.node, backend)["244.0.0.7"]
	if wrote := f.writes() - writes; after[gone] > 0 || len(after) != min(served, huge-1) || wrote > 64 {
		t.Errorf("one of %d goes: %d are left, it has %d parts, %v objects were written", huge, len(after), after[gone], wrote)
	}
	f.apply(&v1alpha1.TrafficPolicy{ObjectMeta: imported("huge", "").ObjectMeta, Spec: v1alpha1.TrafficPolicySpec{
		TargetRef: v1alpha1.TrafficPolicyTarget{Group: "multicluster.x-k8s.io", Kind: "ServiceImport", Name: "huge"}, Scheduler: v1alpha1.SchedulerRandom,
		Weights: []v1alpha1.ClusterWeight{{Cluster: "east", Weight: 95}, {Cluster: "north", Weight: 5}}}})
	f.pass(node.Marked)
	shares, parts, all := endpointsOf(f.node, backend)["244.0.0.7"], map[string]int{}, 0
	for _, s := range hugeSlices("huge", huge) {
		for _, e := range s.Endpoints {
			n := shares[e.Addresses[0]]
			parts[s.Labels[v1alpha1.LabelSourceCluster]] += n
			all += n
		}
	}
	if share := float64(parts["north"]) / float64(all); share < 0.05*0.95 || share > 0.05*1.05 {
		t.Errorf("a cluster of weight 5 of 100 gets %.4f of the flows: %v", share, parts)
	}
}
