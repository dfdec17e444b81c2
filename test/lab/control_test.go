package lab

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tombolo-net/tombolo/test/lab/controlplane"
	"github.com/tombolo-net/tombolo/test/lab/underlay"
)

// idle returns a lab of the default topology whose machines are off, and a client of it.
func idle(t *testing.T) (*Lab, *Client) {
	t.Helper()
	o, err := Options{Bin: "/bin", Cache: "/cache", Init: "/init"}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	// A socket's path is short, the name of a test's folder may not be.
	dir, err := os.MkdirTemp("", "lab-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l := &Lab{
		options: o, dir: dir, topology: topologyOf(o), underlay: underlay.New(), progress: newProgress(io.Discard),
		controlPlane: &controlplane.ControlPlane{},
	}
	l.ctx = t.Context()
	for _, n := range l.topology.Nodes() {
		l.machines = append(l.machines, &machine{node: n})
		if _, err := l.underlay.Listen(n.Name, dir+"/"+n.Name); err != nil {
			t.Fatal(err)
		}
	}
	l.control = &control{lab: l}
	if err := l.startControl(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.control.close)
	c, err := Connect(dir)
	if err != nil {
		t.Fatal(err)
	}
	return l, c
}

func TestStatus(t *testing.T) {
	l, c := idle(t)
	l.ready.Store(true)
	got, err := c.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := Status{Dir: l.dir, Bin: "/bin", Pid: os.Getpid(), Ready: true, Topology: l.topology, Nodes: map[string]State{
		"east-1": Off, "east-2": Off, "west-1": Off, "west-2": Off,
	}}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b Topology) bool { return cmp.Equal(describe(a), describe(b)) })); diff != "" {
		t.Errorf("status (-want +got):\n%s", diff)
	}
}

func TestClientErrors(t *testing.T) {
	l, c := idle(t)
	ctx := t.Context()
	tests := []struct {
		name string
		do   func() error
		want error
	}{
		{"kill a node that is off", func() error { return c.Kill(ctx, "east-1") }, nil},
		{"pause a node that is off", func() error { return c.Pause(ctx, "east-1") }, ErrState},
		{"resume a node that is off", func() error { return c.Resume(ctx, "east-1") }, ErrState},
		{"start an unknown node", func() error { return c.Start(ctx, "east-9") }, ErrUnknownNode},
		{"cut", func() error { return c.Cut(ctx, "east-1", "west", underlay.Selection{}) }, nil},
		{"heal all", func() error { return c.Heal(ctx, "*", "*") }, nil},
		{"delay", func() error { return c.Delay(ctx, "east", "west", time.Millisecond) }, nil},
		{"loss", func() error { return c.Loss(ctx, "east", "*", 0.5) }, nil},
		{"cut one way, some ports", func() error {
			return c.Cut(ctx, "east-1", "*", underlay.Selection{OneWay: true, Ports: underlay.PortRange{First: 1, Last: 2}})
		}, nil},
		{"mtu", func() error { return c.MTU(ctx, "east", "west", 1400, true) }, nil},
		{"nat", func() error { return c.Translate(ctx, "east-1", "west", l.topology.Nodes()[0].Outside()) }, nil},
		{"nat of a cluster", func() error { return c.Translate(ctx, "east", "west", l.topology.Nodes()[0].Outside()) }, ErrUnknownNode},
		{"stop an unknown API server", func() error { return c.StopAPIServer(ctx, "south") }, ErrUnknownCluster},
		{"cut an unknown node", func() error { return c.Cut(ctx, "east-1", "south", underlay.Selection{}) }, ErrUnknownNode},
		{"capture an unknown node", func() error { _, err := c.Capture(ctx, "south", "*"); return err }, ErrUnknownNode},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.do(); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
	if err := c.Loss(ctx, "east", "west", 2); err == nil {
		t.Error("more frames than all were lost")
	}
}

func TestSelectionOf(t *testing.T) {
	for _, tt := range []struct {
		query string
		want  underlay.Selection
		ok    bool
	}{
		{"", underlay.Selection{}, true},
		{"oneway=true", underlay.Selection{OneWay: true}, true},
		{"ports=51820-51883", underlay.Selection{Ports: underlay.PortRange{First: 51820, Last: 51883}}, true},
		{"ports=wg", underlay.Selection{}, false},
	} {
		r := httptest.NewRequest(http.MethodPost, "/net/cut?"+tt.query, http.NoBody)
		if got, err := selectionOf(r); got != tt.want || (err == nil) != tt.ok {
			t.Errorf("%q: %v, %v, want %v", tt.query, got, err, tt.want)
		}
	}
}

func TestConnectNowhere(t *testing.T) {
	if _, err := Connect(""); err == nil {
		t.Error("connected to no folder")
	}
	c, err := Connect(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Status(t.Context()); err == nil {
		t.Error("an empty folder has a status")
	}
}

func TestPairs(t *testing.T) {
	l := &Lab{topology: topologyOf(Options{Clusters: 2, Nodes: 2, Gateways: 1, Zones: 2, CNI: []string{"routed"}, ProxyMode: []string{"iptables"}, IPFamily: []string{"ipv4"}})}
	tests := []struct {
		name, a, b string
		want       []underlay.Pair
	}{
		{"nodes", "east-1", "west-2", []underlay.Pair{{A: "east-1", B: "west-2"}}},
		{"node and cluster", "east-1", "west", []underlay.Pair{{A: "east-1", B: "west-1"}, {A: "east-1", B: "west-2"}}},
		{"within a cluster", "east", "east", []underlay.Pair{{A: "east-1", B: "east-2"}, {A: "east-2", B: "east-1"}}},
		{"all", "*", "", []underlay.Pair{{A: "*", B: "*"}}},
		{"host", "host", "east-1", []underlay.Pair{{A: "host", B: "east-1"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := l.pairs(tt.a, tt.b)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("pairs (-want +got):\n%s", diff)
			}
		})
	}
}
