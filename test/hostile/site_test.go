//go:build e2e

package hostile

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tombolo-net/tombolo/test/harness/loadpod"
	"github.com/tombolo-net/tombolo/test/harness/shell"
	"github.com/tombolo-net/tombolo/test/lifecycle/report"
)

const (
	victim, attacker = "east", "west"
	namespace        = "hostile"
	gatewayLabel     = "clusterset.tombolo.dev/gateway=true"
	// within is how long a step may take on a busy machine.
	within = 2 * time.Minute
	// rate is how many requests the honest client sends in a second.
	rate = 20
)

// The ports of the pods, which are exported.
const httpPort, packetPort = loadpod.HTTPPort, loadpod.EchoPort

// site is a lab. East has two pods with servers, of which one is exported; both are on a node that
// is no gateway. West has a pod, which is exported as well.
type site struct {
	shell.Shell
	load   *report.Client
	sender string // the program send

	// open and closed are east's pods, inside another pod of east, client west's.
	open, closed, inside, client netip.Addr
	// gateway and worker are the names of the nodes by cluster, node their addresses by name.
	gateway, worker map[string]string
	node            map[string]netip.Addr
	// tunnel are the addresses of the gateways' tunnels, by cluster.
	tunnel map[string]netip.Addr
	// clusterIP is east's API server's, vip the clusterset IP of open.
	clusterIP, vip netip.Addr
}

func newSite(t *testing.T) *site {
	t.Helper()
	sh, err := shell.New()
	if err != nil {
		t.Fatal(err)
	}
	s := &site{Shell: sh, sender: filepath.Join(t.TempDir(), "send"), gateway: map[string]string{}, worker: map[string]string{},
		node: map[string]netip.Addr{}, tunnel: map[string]netip.Addr{}}
	build := exec.CommandContext(t.Context(), "go", "build", "-o", s.sender, "./send")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if _, err := shell.Output(build); err != nil {
		t.Fatal(err)
	}
	s.findNodes(t)
	s.deploy(t)
	s.load = s.startLoad(t)
	t.Cleanup(func() { s.unwatch(t) })
	return s
}

// get is one field of objects, which must not be empty.
func (s *site) get(t *testing.T, cluster, path string, args ...string) string {
	t.Helper()
	out, err := s.Kubectl(t.Context(), cluster, append(append([]string{"get"}, args...), "--output", "jsonpath="+path)...)
	if err != nil || out == "" {
		t.Fatalf("%s of %v in %s: %q, %v", path, args, cluster, out, err)
	}
	return out
}

// address is the first of one or more addresses: of dual-stack clusters that of the primary family.
func (s *site) address(t *testing.T, cluster, path string, args ...string) netip.Addr {
	t.Helper()
	return netip.MustParseAddr(strings.Fields(s.get(t, cluster, path, args...))[0])
}

func (s *site) findNodes(t *testing.T) {
	t.Helper()
	for _, cluster := range []string{victim, attacker} {
		s.gateway[cluster] = s.get(t, cluster, "{.items[0].metadata.name}", "nodes", "-l", gatewayLabel)
		s.worker[cluster] = s.get(t, cluster, "{.items[0].metadata.name}", "nodes", "-l", "!clusterset.tombolo.dev/gateway")
		for _, name := range []string{s.gateway[cluster], s.worker[cluster]} {
			s.node[name] = s.address(t, cluster, "{.status.addresses[?(@.type=='InternalIP')].address}", "node", name)
		}
		tunnels := strings.FieldsFunc(s.get(t, cluster, "{.spec.tunnelAddresses}", "-n", "tombolo-system", "gatewaynode", s.gateway[cluster]),
			func(r rune) bool { return strings.ContainsRune(`[]",`, r) })
		for _, text := range tunnels {
			if a := netip.MustParseAddr(text); a.Is4() == s.node[s.gateway[cluster]].Is4() {
				s.tunnel[cluster] = a
			}
		}
	}
	s.clusterIP = s.address(t, victim, "{.spec.clusterIP}", "service", "kubernetes")
}

// deploy makes the pods and Services, and returns when the honest client's request is answered.
func (s *site) deploy(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	pods := map[string]map[string]*netip.Addr{
		victim: {"open": &s.open, "closed": &s.closed, "inside": &s.inside}, attacker: {"client": &s.client},
	}
	for cluster, exported := range map[string]string{victim: "open", attacker: "client"} {
		manifest := loadpod.Namespace(namespace) + loadpod.Service(namespace, exported, exported)
		for name := range pods[cluster] {
			manifest += loadpod.Pod{Namespace: namespace, Name: name, Node: s.worker[cluster], Files: map[string]string{"/send": s.sender}}.Manifest()
		}
		if err := s.Apply(ctx, cluster, manifest); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_, _ = s.Kubectl(context.WithoutCancel(ctx), cluster, "delete", "namespace", namespace, "--wait=false")
		})
	}
	for cluster, pods := range pods {
		if err := loadpod.Ready(ctx, s.Shell, cluster, namespace, within); err != nil {
			t.Fatal(err)
		}
		for name, address := range pods {
			*address = s.address(t, cluster, "{.status.podIP}", "-n", namespace, "pod", name)
		}
	}
	vip, err := loadpod.ClusterSetIP(ctx, s.Shell, attacker, namespace, "open", "client", within)
	if err != nil {
		t.Fatal(err)
	}
	s.vip = netip.MustParseAddr(vip)
	if _, err := loadpod.ClusterSetIP(ctx, s.Shell, victim, namespace, "client", "inside", within); err != nil { // the way back is open, too
		t.Fatal(err)
	}
}

// startLoad starts the honest client, in west's pod.
func (s *site) startLoad(t *testing.T) *report.Client {
	t.Helper()
	l, err := report.Start(exec.Command("kubectl", "--context", attacker, "--namespace", namespace, "exec", "--stdin", "client", "--",
		"/load", "--rate", fmt.Sprint(rate), "--requests", netip.AddrPortFrom(s.vip, 80).String(), "--packets", netip.AddrPortFrom(s.vip, 7).String()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Kill)
	return l
}

// honest asserts that the honest client lost nothing since it was last asked.
func (s *site) honest(t *testing.T, since report.Report) report.Report {
	t.Helper()
	now, err := s.load.Report()
	if err != nil {
		t.Fatal(err)
	}
	if err := now.Fault(since); err != nil {
		t.Errorf("beside the attacks honest traffic was lost: %v", err)
	}
	if now.Requests.Sent == since.Requests.Sent {
		t.Error("the honest client has sent nothing")
	}
	t.Logf("honest traffic: %s", now.Progress(since))
	return now
}
