package view

import (
	"encoding/json"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/utils/ptr"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/topology"
)

func TestDiff(t *testing.T) {
	a := State{"same": json.RawMessage("1"), "other": json.RawMessage("1"), "gone": json.RawMessage("1"), "a": json.RawMessage("1")}
	b := State{"same": json.RawMessage("1"), "other": json.RawMessage("2"), "new": json.RawMessage("3")}
	tests := []struct {
		name       string
		have, want State
		change     Change
	}{
		{"all", a, b, Change{Put: State{"other": json.RawMessage("2"), "new": json.RawMessage("3")}, Gone: []string{"a", "gone"}}},
		{"none", a, a, Change{}},
		{"from nothing", nil, State{"a": json.RawMessage("1")}, Change{Put: State{"a": json.RawMessage("1")}}},
	}
	for _, tt := range tests {
		got := Diff(tt.have, tt.want)
		if diff := cmp.Diff(tt.change, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
		if got.Empty() != (tt.name == "none") {
			t.Errorf("%s: empty is %v", tt.name, got.Empty())
		}
		applied := maps.Clone(tt.have)
		if applied == nil {
			applied = State{}
		}
		maps.Copy(applied, got.Put)
		for _, key := range got.Gone {
			delete(applied, key)
		}
		if diff := cmp.Diff(tt.want, applied); diff != "" {
			t.Errorf("%s, applied (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestWith(t *testing.T) {
	before := State{"a/1": json.RawMessage("1"), "b/1": json.RawMessage("1")}
	got := before.With("a/", State{"a/2": json.RawMessage("2")})
	if diff := cmp.Diff(State{"a/2": json.RawMessage("2"), "b/1": json.RawMessage("1")}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if len(before) != 2 || before["a/1"] == nil {
		t.Errorf("the state before has become %v", before)
	}
}

func remote(id v1alpha1.ClusterID, up, total int, reachable bool, rtt int32, loss *int32) topology.Remote {
	return topology.Remote{ID: id, Reachable: reachable, LinksUp: up, LinksTotal: total, RTTMilliseconds: rtt, LossPercent: loss}
}

func TestPairs(t *testing.T) {
	tests := []struct {
		name string
		a, b []topology.Remote // how a sees b, and b sees a
		want Pair
	}{
		{"up", []topology.Remote{remote("b", 4, 4, true, 3, ptr.To(int32(0)))}, []topology.Remote{remote("a", 4, 4, true, 2, ptr.To(int32(1)))},
			Pair{State: PairUp, RTTMilliseconds: 2, LossPercent: 1, LinksUp: 4, LinksTotal: 4}},
		{"one side asked", nil, []topology.Remote{remote("a", 1, 1, true, 2, nil)}, Pair{State: PairUp, RTTMilliseconds: 2, LinksUp: 1, LinksTotal: 1}},
		{"a link down at one side", []topology.Remote{remote("b", 4, 4, true, 3, nil)}, []topology.Remote{remote("a", 3, 4, true, 0, nil)},
			Pair{State: PairImpaired, RTTMilliseconds: 3, LinksUp: 3, LinksTotal: 4}},
		{"lossy", []topology.Remote{remote("b", 4, 4, true, 3, ptr.To(int32(2)))}, nil, Pair{State: PairImpaired, RTTMilliseconds: 3, LossPercent: 2, LinksUp: 4, LinksTotal: 4}},
		{"down at one side", []topology.Remote{remote("b", 4, 4, true, 3, nil)}, []topology.Remote{remote("a", 0, 4, false, 0, nil)},
			Pair{State: PairDown, RTTMilliseconds: 3, LinksUp: 0, LinksTotal: 4}},
		{"no links", []topology.Remote{remote("b", 0, 0, false, 0, nil)}, nil, Pair{State: PairUnlinked}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := pairsOf([]topology.Cluster{{ID: "b", Remotes: tt.b}, {ID: "a", Remotes: tt.a}})
			if len(got) != 1 || got[0].A != "a" || got[0].B != "b" || len(got[0].Sides) != len(tt.a)+len(tt.b) {
				t.Fatalf("got %+v", got)
			}
			got[0].A, got[0].B, got[0].Sides = "", "", nil
			if diff := cmp.Diff(tt.want, got[0]); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestPicture(t *testing.T) {
	s := Picture(topology.Topology{ClusterSet: "demo",
		Clusters: []topology.Cluster{{ID: "east", Context: "e", Remotes: []topology.Remote{remote("west", 1, 1, true, 1, nil)}}, {ID: "west"}},
		Services: []topology.Service{{Namespace: "shop", Name: "web", Exports: []topology.Export{{Cluster: "east", Conflict: true}},
			Imports: []topology.Import{{Cluster: "east", Type: "ClusterSetIP", IPs: []string{"244.0.0.1"}, Ports: []string{"80/TCP"},
				From: []topology.Exporter{{Cluster: "east", Endpoints: 2, Ready: 1}, {Cluster: "west", Endpoints: 3}}},
				{Cluster: "west", IPs: []string{"244.0.0.1"}, From: []topology.Exporter{{Cluster: "east", Endpoints: 1}}}}}},
		Findings: []topology.Finding{{Severity: topology.SeverityError, Cluster: "east", Kind: "ServiceImport", Namespace: "shop", Name: "web"},
			{Severity: topology.SeverityWarning, Cluster: "east", Kind: "GatewayNode", Name: "g"}}})
	if diff := cmp.Diff([]string{"now/cluster/east", "now/cluster/west", "now/finding/east/GatewayNode//g/", "now/finding/east/ServiceImport/shop/web/",
		"now/pair/east/west", "now/service/shop/web", "now/set"}, slices.Sorted(maps.Keys(s))); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
	for key, want := range map[string]string{
		"now/set":          `{"id":"demo","asked":1,"clusters":2,"services":1,"errors":1,"warnings":1}`,
		"now/cluster/east": `{"id":"east","context":"e","trouble":"Warning"}`,
		"now/service/shop/web": `{"namespace":"shop","name":"web","ips":["244.0.0.1"],"ports":["80/TCP"],"exports":[{"cluster":"east","ready":false,"conflict":true}],` +
			`"imports":["east","west"],"from":[{"cluster":"east","endpoints":2,"ready":1},{"cluster":"west","endpoints":3,"ready":0}],"conflict":true,"trouble":"Error"}`,
	} {
		if diff := cmp.Diff(want, string(s[key])); diff != "" {
			t.Errorf("%s (-want +got):\n%s", key, diff)
		}
	}
}

func TestHappened(t *testing.T) {
	now := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	with := func(state v1alpha1.LinkState, gateway topology.GatewayState, services []topology.Service, findings ...topology.Finding) topology.Topology {
		link := topology.Link{Gateway: "east-1", Link: v1alpha1.Link{RemoteGateway: "west-1", State: state, RTTMilliseconds: 3}}
		return topology.Topology{Services: services, Findings: findings, Clusters: []topology.Cluster{{ID: "east",
			Gateways: []topology.Gateway{{Name: "east-1", State: gateway}}, Remotes: []topology.Remote{{ID: "west", Links: []topology.Link{link}}}}}}
	}
	web := []topology.Service{{Namespace: "shop", Name: "web", Exports: []topology.Export{{Cluster: "east"}}}}
	wrong := topology.Finding{Severity: topology.SeverityError, Cluster: "east", Kind: "RemoteCluster", Name: "west", Condition: "Reachable", Reason: "NoLinkUp", Message: "no link"}
	good := with(v1alpha1.LinkUp, topology.GatewayReady, nil)
	tests := []struct {
		name          string
		before, after topology.Topology
		want          []Event
	}{
		{"nothing", good, good, nil},
		{"a link goes down", good, with(v1alpha1.LinkDown, topology.GatewayReady, nil),
			[]Event{{Time: now, Cluster: "east", Warning: true, Object: "Link east-1 to west/west-1", Reason: "LinkDown", Message: "round trip 3 ms"}}},
		{"a gateway dies", good, with(v1alpha1.LinkUp, topology.GatewayDead, nil),
			[]Event{{Time: now, Cluster: "east", Warning: true, Object: "GatewayNode east-1", Reason: "GatewayDead", Message: "the gateway is Dead"}}},
		{"an export comes", good, with(v1alpha1.LinkUp, topology.GatewayReady, web),
			[]Event{{Time: now, Cluster: "east", Object: "ServiceExport shop/web", Reason: "Exported", Message: "cluster east and Service shop/web"}}},
		{"an export goes", with(v1alpha1.LinkUp, topology.GatewayReady, web), good,
			[]Event{{Time: now, Cluster: "east", Object: "ServiceExport shop/web", Reason: "Unexported", Message: "cluster east and Service shop/web"}}},
		{"a problem comes", good, with(v1alpha1.LinkUp, topology.GatewayReady, nil, wrong),
			[]Event{{Time: now, Cluster: "east", Warning: true, Object: "RemoteCluster west", Reason: "NoLinkUp", Message: "no link"}}},
		{"a problem is mended", with(v1alpha1.LinkUp, topology.GatewayReady, nil, wrong), good,
			[]Event{{Time: now, Cluster: "east", Object: "RemoteCluster west", Reason: "Mended", Message: "no link"}}},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, Happened(tt.before, tt.after, now)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
	var many []topology.Service
	for i := range 100 {
		many = append(many, topology.Service{Namespace: "shop", Name: string(rune('a' + i)), Exports: web[0].Exports})
	}
	if got := Happened(good, with(v1alpha1.LinkUp, topology.GatewayReady, many), now); len(got) != mostAtOnce {
		t.Errorf("%d events of 100 exports", len(got))
	}
}

func TestSample(t *testing.T) {
	start := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	picture := topology.Topology{Clusters: []topology.Cluster{{ID: "east", Remotes: []topology.Remote{{ID: "west", Links: []topology.Link{
		{Gateway: "east-1", Link: v1alpha1.Link{RemoteGateway: "west-1", State: v1alpha1.LinkUp, RTTMilliseconds: 3, LossPercent: 1}}}}}}}}
	at := func(after time.Duration, sent float64) map[string]Counters {
		return map[string]Counters{"east/east-1/west/west-1": {At: start.Add(after), Sent: sent, Received: 2 * sent, RTT: 2500 * time.Microsecond, Loss: 0.015}}
	}
	tests := []struct {
		name          string
		before, after map[string]Counters
		want          Measure
	}{
		{"objects alone", nil, nil, Measure{ptr.To(3.0), ptr.To(1.0)}},
		{"counted once", nil, at(0, 1000), Measure{ptr.To(2.5), ptr.To(1.5)}},
		{"counted twice", at(0, 1000), at(2*time.Second, 3000), Measure{ptr.To(2.5), ptr.To(1.5), ptr.To(1000.0), ptr.To(2000.0)}},
		{"counted from the beginning again", at(0, 1000), at(2*time.Second, 10), Measure{ptr.To(2.5), ptr.To(1.5)}},
	}
	for _, tt := range tests {
		got := SampleOf(picture, tt.before, tt.after, start)
		if diff := cmp.Diff(map[string]Measure{"east/east-1/west/west-1": tt.want}, got.Links); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}
