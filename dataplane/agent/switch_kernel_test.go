//go:build kernel

package agent

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/utils/ptr"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/dataplane/backend"
	"github.com/tombolo-net/tombolo/internal/node"
	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// echoOn sends back what it gets, on every connection, until the test ends.
func echoOn(t *testing.T, n *netns.Namespace, port int) {
	t.Helper()
	n.Do(func() {
		listener, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { listener.Close() })
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				go func() {
					defer conn.Close()
					io.Copy(conn, conn)
				}()
			}
		}()
	})
}

// longLived is a connection that is used again and again.
type longLived struct{ net.Conn }

func dialFrom(t *testing.T, n *netns.Namespace, address string) longLived {
	t.Helper()
	var conn net.Conn
	n.Do(func() {
		var err error
		if conn, err = net.DialTimeout("tcp", address, 10*time.Second); err != nil {
			t.Fatal(err)
		}
	})
	t.Cleanup(func() { conn.Close() })
	return longLived{conn}
}

// works returns nil if what is sent comes back.
func (l longLived) works() error {
	if err := l.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	if _, err := l.Write([]byte("hello")); err != nil {
		return err
	}
	_, err := io.ReadFull(l, make([]byte, 5))
	return err
}

func tables(n *netns.Namespace) string {
	return strings.Join(strings.Fields(n.Run("nft", "list", "tables")), " ")
}

// TestSwitchBackends: the backend changes while flows are under way. They go on in both directions,
// and new flows are served all the time. In the end nothing is left of the backend that left.
func TestSwitchBackends(t *testing.T) {
	worker, pod, gateway, away := newWorker(t)
	echoOn(t, away, 8081)
	f := newFixture(t, worker, gatewayNode("gateway", "192.0.2.2", 0), remote("east", "10.1.0.0/16"),
		nodeObject("gateway", "192.0.2.2", "10.2.0.0/24"), imported("web", "244.0.0.7", web80), slice("web", "east", 8081, "10.1.0.5"))
	f.on("gateway", gateway).pass(node.Marked)
	serveBy := func(by v1alpha1.DataplaneBackend) {
		t.Helper()
		set := clusterSet()
		set.Spec.Dataplane.Backend = by
		f.applyStatus(set)
		f.pass(node.Marked)
		if got := f.condition(); !strings.HasPrefix(got, "True Ready") || !strings.Contains(strings.ToLower(got), string(by)+" serves clusterset ips") {
			t.Fatalf("condition %q", got)
		}
	}
	serveBy(v1alpha1.BackendIPVS)
	if got := tables(worker); strings.Contains(got, "tombolo-services") {
		t.Errorf("tables %q", got)
	}
	byIPVS := dialFrom(t, pod, "244.0.0.7:80")

	serveBy(v1alpha1.BackendNFTables)
	byNFT := dialFrom(t, pod, "244.0.0.7:80")
	for _, tt := range []struct {
		name string
		conn longLived
	}{{"by IPVS", byIPVS}, {"by nftables", byNFT}} {
		if err := tt.conn.works(); err != nil {
			t.Errorf("served by nftables, a connection made %s: %v", tt.name, err)
		}
	}
	if got := weights(worker); got != "10.1.0.5*0" {
		t.Errorf("IPVS takes new flows: %s", got)
	}
	f.quiet()
	f.restart() // and remembers nothing
	f.pass(node.Marked)
	if err := byIPVS.works(); err != nil {
		t.Errorf("after a restart, a connection made by IPVS: %v", err)
	}
	f.passAt(time.Now().Add(backend.Lingering), node.Audited)
	if got := list(worker); got != "" {
		t.Errorf("left of IPVS: %s", got)
	}
	if f.agent.services.backend.Leaving() {
		t.Error("IPVS is still leaving")
	}
	if err := byNFT.works(); err != nil {
		t.Errorf("a connection made by nftables: %v", err)
	}

	serveBy(v1alpha1.BackendIPVS)
	dialFrom(t, pod, "244.0.0.7:80")
	if err := byNFT.works(); err != nil {
		t.Errorf("served by IPVS again, a connection made by nftables: %v", err)
	}
	if got := tables(worker); strings.Contains(got, "tombolo-services") {
		t.Errorf("left of nftables: tables %q", got)
	}
	f.quiet()
}

// TestRestartKeepsDrainingFlows: an endpoint that drains keeps its flows over a restart of the
// agent. So does an endpoint that is only not ready, which nothing but the kernel remembers.
func TestRestartKeepsDrainingFlows(t *testing.T) {
	worker, pod, gateway, away := newWorker(t)
	echoOn(t, away, 8081)
	f := newFixture(t, worker, gatewayNode("gateway", "192.0.2.2", 0), remote("east", "10.1.0.0/16"),
		nodeObject("gateway", "192.0.2.2", "10.2.0.0/24"), imported("web", "244.0.0.7", web80), slice("web", "east", 8081, "10.1.0.5"))
	f.on("gateway", gateway).pass(node.Marked)
	f.pass(node.Marked)
	conn := dialFrom(t, pod, "244.0.0.7:80")
	gone := slice("web", "east", 8081, "10.1.0.5", "10.1.0.6")
	gone.Endpoints[0].Conditions = discoveryv1.EndpointConditions{Ready: ptr.To(false), Serving: ptr.To(false)}
	f.apply(gone)
	f.pass(node.Marked)
	for _, when := range []string{"before", "after"} {
		if err := conn.works(); err != nil {
			t.Errorf("%s the restart: %v", when, err)
		}
		if got := weights(worker); got != "10.1.0.5*0 10.1.0.6*1" {
			t.Errorf("%s the restart: %s", when, got)
		}
		f.restart()
		f.pass(node.Marked)
	}
	f.quiet()
}

// changeProxy has another kube-proxy on the node while flows are under way. The agent takes the
// backend that is safe beside it. What goes through nftables goes on, and so does what goes through
// IPVS, unless kube-proxy takes that away as it starts: then connections may end, but do not hang,
// and UDP clients are answered by whoever serves now.
func (s *site) changeProxy(t *testing.T, around surrounding) {
	t.Helper()
	f := s.in(t).fixture(v1alpha1.BackendAuto, bothFamilies)
	defer f.leave()
	f.serve("held", 1, servicePorts(many5000, hold5001)...)
	for _, a := range bothFamilies {
		f.populate("held", a, readyIn{0, 2}, many5000, hold5001)
	}
	f.pass(node.Marked)
	byIPVS := f.servedBy(v1alpha1.BackendIPVS)
	held, asked := map[string]longLived{}, map[string]func() string{}
	for _, a := range bothFamilies {
		held[a.name] = dialFrom(t, s.pod, a.to(1, hold5001.number))
		ask := f.asker(s.pod, a.to(1, many5000.number))
		asked[a.name] = func() string {
			got := ask()
			if got == at(a.away[0], many5000.east) || got == at(a.away[1], many5000.east) {
				return "an endpoint"
			}
			return got
		}
		eventually(t, a.name+": before, a UDP client is answered by", asked[a.name], "an endpoint")
	}
	before := s.in(t).virtualServices()
	s.runProxy(t, around.proxy)
	f.site = s.in(t)
	wiped := byIPVS && around.auto == v1alpha1.BackendNFTables
	if wiped {
		before = nil
	}
	if diff := cmp.Diff(before, f.site.virtualServices()); diff != "" {
		t.Errorf("our virtual services beside the new kube-proxy (-want +got)\n%s", diff)
	}
	f.agent.proxy.Address = s.proxyAddress()
	f.agent.proxy.Ask(t.Context())
	f.pass(node.Marked)
	if !f.servedBy(around.auto) {
		t.Errorf("condition %q, want one that tells of %s", f.condition(), around.auto)
	}
	for _, a := range bothFamilies {
		if err := dialFrom(t, s.pod, a.to(1, hold5001.number)).works(); err != nil {
			t.Errorf("%s: a new connection: %v", a.name, err)
		}
		// The new backend may happen to give it the endpoint that it had.
		err := held[a.name].works()
		if ended := errors.Is(err, syscall.ECONNRESET); err != nil && (!wiped || !ended) {
			t.Errorf("%s: a connection from before, wiped %t: %v", a.name, wiped, err)
		}
		eventually(t, a.name+": after, a UDP client is answered by", asked[a.name], "an endpoint")
	}
	f.quiet()
}

// servedBy reports whether the condition says that this backend serves.
func (f *siteFixture) servedBy(backend v1alpha1.DataplaneBackend) bool {
	f.t.Helper()
	return strings.HasPrefix(strings.ToLower(f.condition()), "true ready "+string(backend)+" serves clusterset ips (backend auto, ")
}

// TestProxySilentAtStart: kube-proxy restarts or is slow, and does not answer a new agent. The agent
// keeps what serves. Otherwise it would switch twice.
func TestProxySilentAtStart(t *testing.T) {
	for _, tt := range []struct{ mode, words string }{{"nftables", "nftables serves"}, {"iptables", "IPVS serves"}} {
		t.Run(tt.mode, func(t *testing.T) {
			worker, pod, gateway, away := newWorker(t)
			echoOn(t, away, 8081)
			f := newFixture(t, worker, gatewayNode("gateway", "192.0.2.2", 0), remote("east", "10.1.0.0/16"),
				nodeObject("gateway", "192.0.2.2", "10.2.0.0/24"), imported("web", "244.0.0.7", web80), slice("web", "east", 8081, "10.1.0.5"))
			f.on("gateway", gateway).pass(node.Marked)
			proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, tt.mode) }))
			t.Cleanup(proxy.Close)
			answers := strings.TrimPrefix(proxy.URL, "http://")
			ask := func(address, words string) {
				t.Helper()
				f.agent.proxy.Address = address
				f.agent.proxy.Ask(t.Context())
				f.pass(node.Marked)
				if got := f.condition(); !strings.HasPrefix(got, "True Ready "+words) {
					t.Errorf("condition %q, want %q", got, words)
				}
			}
			serves := func() string { return tables(worker) + " " + weights(worker) }
			ask(answers, tt.words)
			conn, before := dialFrom(t, pod, "244.0.0.7:80"), serves()
			f.restart()
			ask("127.0.0.1:1", tt.words+" clusterset IPs as before")
			if got := serves(); got != before {
				t.Errorf("while kube-proxy is silent the kernel has %q, before it had %q", got, before)
			}
			if err := conn.works(); err != nil {
				t.Errorf("while kube-proxy is silent: %v", err)
			}
			ask(answers, tt.words+" clusterset IPs (backend auto, kube-proxy mode "+tt.mode)
			if got := serves(); got != before {
				t.Errorf("once kube-proxy has answered the kernel has %q, before it had %q", got, before)
			}
		})
	}
}
