package failover

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// objects are what a cluster with one gateway says while all is well, as kubectl prints it.
const objects = `{"kind":"List","items":[
	{"kind":"Node","metadata":{"name":"west-1","labels":{"clusterset.tombolo.dev/gateway":"true"}},"status":{"conditions":[{"type":"Ready","status":"True"}]}},
	{"kind":"Node","metadata":{"name":"west-2"},"status":{"conditions":[{"type":"Ready","status":"True"}]}},
	{"kind":"Pod","metadata":{"name":"agent"},"status":{"conditions":[{"type":"Ready","status":"True"}]}},
	{"kind":"GatewayNode","metadata":{"name":"west-1"},"spec":{"nodeName":"west-1"},
		"status":{"conditions":[{"type":"Ready","status":"True"},{"type":"Alive","status":"True"},{"type":"Draining","status":"False"}]}},
	{"kind":"RemoteCluster","metadata":{"name":"east"},"status":{"conditions":[{"type":"Reachable","status":"True"}],
		"links":[{"gateway":"west-1","links":[{"remoteGateway":"east-1","state":"Up"}]}]}}]}`

func TestWhole(t *testing.T) {
	for _, tt := range []struct {
		name    string
		replace [2]string
		others  []string
		want    string // empty for nil
	}{
		{"all is well", [2]string{}, []string{"east-1"}, ""},
		{"no link to a second gateway", [2]string{}, []string{"east-1", "east-2"}, "west has 1 links that are up, want 2"},
		{"a link is down", [2]string{`"state":"Up"`, `"state":"Down"`}, []string{"east-1"}, "west has 0 links that are up, want 1"},
		{"unreachable", [2]string{`"Reachable","status":"True"`, `"Reachable","status":"False"`}, []string{"east-1"}, "west does not reach east"},
		{"the gateway drains", [2]string{`"Draining","status":"False"`, `"Draining","status":"True"`}, []string{"east-1"}, "gatewaynode west-1 is draining"},
		{"the gateway is dead", [2]string{`"Alive","status":"True"`, `"Alive","status":"False"`}, []string{"east-1"}, "gatewaynode west-1 is not alive"},
		{"a ghost", [2]string{`"nodeName":"west-1"`, `"nodeName":"west-9"`}, []string{"east-1"}, "gatewaynode west-1 is there though its node is no gateway"},
		{"a node is cordoned", [2]string{`"name":"west-2"}`, `"name":"west-2"},"spec":{"unschedulable":true}`}, []string{"east-1"}, "node west-2 is not ready"},
		{"a pod ends", [2]string{`"name":"agent"`, `"name":"agent","deletionTimestamp":"2026-01-01T00:00:00Z"`}, []string{"east-1"}, "pod agent of west is not ready"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			st, err := parseState("west", []byte(strings.Replace(objects, tt.replace[0], tt.replace[1], 1)))
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if err := st.whole(tt.others); err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestOutcomes(t *testing.T) {
	all := Outcomes{{Gap: time.Second, Packets: 500}, {Gap: 2 * time.Second, Packets: 1000, Connections: 3}}
	if diff := cmp.Diff([]time.Duration{time.Second, 2 * time.Second}, all.Gaps()); diff != "" {
		t.Errorf("gaps (-want +got):\n%s", diff)
	}
	if all.Worst() != 2*time.Second || all.Packets() != 1500 || all.Connections() != 3 {
		t.Errorf("worst %s, %d packets, %d connections", all.Worst(), all.Packets(), all.Connections())
	}
	if Outcomes(nil).Worst() != 0 {
		t.Error("without outcomes there is a gap")
	}
}

// TestFaults checks that figures can be told apart, and that only faults that need no API server
// happen without.
func TestFaults(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range Faults() {
		if seen[f.Name] {
			t.Errorf("there are two faults %s", f.Name)
		}
		seen[f.Name] = true
		if strings.HasSuffix(f.Name, "_no_api") != f.NoAPI {
			t.Errorf("%s: NoAPI is %t", f.Name, f.NoAPI)
		}
	}
}
