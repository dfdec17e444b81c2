//go:build e2e

// Package lifecycle tests what becomes of traffic between clusters while tombolo's own processes
// are replaced. It runs in clusters with tombolo installed, which it does not boot: a lab's with
// `bin/lab run --install -- go test -tags e2e ./test/lifecycle`, kind's with `make e2e-kind`. What
// becomes of it on one node, also when the agent is killed or cleans up, is tested by
// test/lifecycle/restarts.
package lifecycle

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tombolo-net/tombolo/test/harness/loadpod"
	"github.com/tombolo-net/tombolo/test/harness/shell"
	"github.com/tombolo-net/tombolo/test/lifecycle/report"
)

const (
	exporter, importer = "east", "west"
	namespace          = "lifecycle"
	// within is how long a step may take on a busy machine, rolledWithin how long a roll-out.
	within, rolledWithin = 2 * time.Minute, 8 * time.Minute
	// rate is how many requests are sent in a second: nodes are kernels with one slow CPU each.
	rate = 50
)

// TestRollout: while each of tombolo's parts is restarted in both clusters, no request to a Service
// of another cluster fails, no connection breaks and no packet is lost; and the tunnel stays the
// same device. Gateways that encrypt themselves are left out: the packets need their processes.
func TestRollout(t *testing.T) {
	sh, err := shell.New()
	if err != nil {
		t.Fatal(err)
	}
	vip, node := serve(t, sh)
	witness(t, sh, node)
	l := startLoad(t, vip)
	before := ask(t, l)
	tunnels := devices(t, sh)
	for _, step := range []struct {
		what     string
		clusters []string
	}{
		{"daemonset/tombolo-dataplane", []string{exporter, importer}},
		{"daemonset/tombolo-gateway", []string{exporter}},
		{"daemonset/tombolo-gateway", []string{importer}},
		{"deployment/tombolo-operator", []string{exporter, importer}},
	} {
		if strings.HasSuffix(step.what, "gateway") && tunnels == "" {
			t.Logf("the kernel has no WireGuard: %s of %v not restarted", step.what, step.clusters)
			continue
		}
		begin := time.Now()
		restart(t, sh, step.what, step.clusters)
		after := ask(t, l)
		name := fmt.Sprintf("%s of %s restarted", step.what, strings.Join(step.clusters, " and "))
		if err := after.Fault(before); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		t.Logf("%s: %s, %s", name, time.Since(begin).Round(time.Second), after.Progress(before))
		before = after
	}
	if got := devices(t, sh); got != tunnels {
		t.Errorf("the tunnels' devices were %s, and are %s", tunnels, got)
	}
}

// restart replaces all processes of a workload and returns when the new ones are ready.
func restart(t *testing.T, sh shell.Shell, what string, clusters []string) {
	t.Helper()
	group, ctx := errgroup.WithContext(t.Context())
	for _, cluster := range clusters {
		group.Go(func() error {
			for _, verb := range []string{"restart", "status"} {
				args := []string{"--namespace", "tombolo-system", "rollout", verb, what}
				if verb == "status" {
					args = append(args, "--timeout="+rolledWithin.String())
				}
				if _, err := sh.Kubectl(ctx, cluster, args...); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}

// devices are the WireGuard devices of both gateways, with the numbers that the kernel gave them. It
// is empty where a gateway has none, because it encrypts itself.
func devices(t *testing.T, sh shell.Shell) string {
	t.Helper()
	var all []string
	for _, cluster := range []string{exporter, importer} {
		nodes, err := sh.Nodes(t.Context(), cluster, "clusterset.tombolo.dev/gateway=true")
		if err != nil {
			t.Fatal(err)
		}
		out, err := sh.OnNode(t.Context(), nodes[0], "ip", "-json", "link", "show", "type", "wireguard")
		if err != nil {
			t.Fatal(err)
		}
		type link struct {
			Index int    `json:"ifindex"`
			Name  string `json:"ifname"`
		}
		var links []link
		if err := json.Unmarshal([]byte(out), &links); err != nil {
			t.Fatalf("node %s has the WireGuard devices %q: %v", nodes[0], out, err)
		}
		links = slices.DeleteFunc(links, func(l link) bool { return l.Name == "" }) // of another type
		if len(links) == 0 {
			return ""
		}
		all = append(all, fmt.Sprint(nodes[0], links))
	}
	return strings.Join(all, " ")
}

// serve makes pods in one cluster that serve, on each of its nodes, exports them, and makes a pod
// in the other one, on a node that is not a gateway. It returns the clusterset IP once it answers
// there, and the node.
func serve(t *testing.T, sh shell.Shell) (vip, node string) {
	t.Helper()
	servers, err := sh.Nodes(t.Context(), exporter, "")
	workers, errWorkers := sh.Nodes(t.Context(), importer, "!clusterset.tombolo.dev/gateway")
	if err := errors.Join(err, errWorkers); err != nil {
		t.Fatal(err)
	}
	there := loadpod.Service(namespace, "web", "web")
	for i, node := range servers {
		there += loadpod.Pod{Namespace: namespace, Name: fmt.Sprint("server-", i), App: "web", Node: node}.Manifest()
	}
	client := loadpod.Pod{Namespace: namespace, Name: "client", Node: workers[0], Sleeps: true}
	for _, tt := range []struct{ cluster, manifest string }{{exporter, there}, {importer, client.Manifest()}} {
		if err := sh.Apply(t.Context(), tt.cluster, loadpod.Namespace(namespace)+tt.manifest); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if _, err := sh.Kubectl(context.WithoutCancel(t.Context()), tt.cluster, "delete", "namespace", namespace, "--wait=false"); err != nil {
				t.Error(err)
			}
		})
	}
	for _, cluster := range []string{exporter, importer} {
		if err := loadpod.Ready(t.Context(), sh, cluster, namespace, within); err != nil {
			t.Fatal(err)
		}
	}
	if vip, err = loadpod.ClusterSetIP(t.Context(), sh, importer, namespace, "web", "client", within); err != nil {
		t.Fatal(err)
	}
	return vip, workers[0]
}

// startLoad starts the client, a program in a pod.
func startLoad(t *testing.T, vip string) *report.Client {
	t.Helper()
	l, err := report.Start(exec.Command("kubectl", "--context", importer, "--namespace", namespace, "exec", "--stdin", "client", "--",
		"/load", "--rate", fmt.Sprint(rate), "--requests", net.JoinHostPort(vip, "80"), "--connections", net.JoinHostPort(vip, "7"), "--packets", net.JoinHostPort(vip, "7")))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Kill)
	return l
}

// ask is what became of all that the load began before.
func ask(t *testing.T, l *report.Client) report.Report {
	t.Helper()
	r, err := l.Report()
	if err != nil {
		t.Fatal(err)
	}
	return r
}
