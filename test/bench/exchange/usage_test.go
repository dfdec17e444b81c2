package exchange

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseWrites(t *testing.T) {
	const page = `# HELP apiserver_request_total [STABLE] Counter of apiserver requests
# TYPE apiserver_request_total counter
apiserver_request_total{code="200",component="apiserver",dry_run="",group="discovery.k8s.io",resource="endpointslices",scope="resource",subresource="",verb="PUT",version="v1"} 40
apiserver_request_total{code="409",component="apiserver",dry_run="",group="discovery.k8s.io",resource="endpointslices",scope="resource",subresource="",verb="PUT",version="v1"} 2
apiserver_request_total{code="201",component="apiserver",dry_run="",group="discovery.k8s.io",resource="endpointslices",scope="resource",subresource="",verb="POST",version="v1"} 1e+03
apiserver_request_total{code="0",component="apiserver",dry_run="",group="discovery.k8s.io",resource="endpointslices",scope="namespace",subresource="",verb="WATCH",version="v1"} 7
apiserver_request_total{code="200",component="apiserver",dry_run="",group="coordination.k8s.io",resource="leases",scope="resource",subresource="",verb="PUT",version="v1"} 5
apiserver_request_terminations_total{code="200",resource="endpointslices",verb="PUT"} 9
`
	got, err := parseWrites([]byte(page))
	if diff := cmp.Diff(writes{"endpointslices": 1042, "leases": 5}, got); err != nil || diff != "" {
		t.Errorf("%v; writes (-want +got):\n%s", err, diff)
	}
	if n := got.since(writes{"endpointslices": 42}, "endpointslices", "exportedservices"); n != 1000 {
		t.Errorf("got %v writes since 42, want 1000", n)
	}
	if _, err := parseWrites([]byte(`apiserver_request_total{resource="leases",verb="PUT"} many`)); err == nil {
		t.Error("a value that is not a number was taken for one")
	}
}

// What the load costs is what was used, less what is used when nothing happens, in the same time.
func TestUsage(t *testing.T) {
	before := usage{elapsed: time.Minute, cpu: time.Second, memory: 5, writes: 10, leases: 3, received: 100, sent: 1000}
	after := usage{elapsed: 3 * time.Minute, cpu: 13 * time.Second, memory: 9, writes: 30, leases: 9, received: 1100, sent: 9000}
	loaded := after.minus(before)
	want := usage{elapsed: 2 * time.Minute, cpu: 12 * time.Second, memory: 4, writes: 20, leases: 6, received: 1000, sent: 8000}
	if loaded != want {
		t.Errorf("got %+v, want %+v", loaded, want)
	}
	if got := loaded.cpuPercent(); got != 10 {
		t.Errorf("got %v %% of a core, want 10", got)
	}
	idle := usage{elapsed: time.Minute, received: 200, sent: 500}
	if received, sent := loaded.beyond(idle, usage.bytesReceived), loaded.beyond(idle, usage.bytesSent); received != 600 || sent != 7000 {
		t.Errorf("got %v and %v bytes beyond what is usual, want 600 and 7000", received, sent)
	}
}
