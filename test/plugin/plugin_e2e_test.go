//go:build e2e

// Package plugin tests the command line `kubectl tombolo` on a lab with tombolo installed: run it as
// `bin/lab run --install -- go test -tags e2e ./test/plugin`. It takes one cluster out and lets it
// join again, so it runs after the tests of other packages.
package plugin

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tombolo-net/tombolo/internal/topology"
	"github.com/tombolo-net/tombolo/test/harness/echopod"
	"github.com/tombolo-net/tombolo/test/harness/shell"
)

// site is a lab, and the plugin.
type site struct {
	shell.Shell
	t       *testing.T
	program string
}

// tombolo runs a command of the plugin, and returns what it wrote to its standard output.
func (s *site) tombolo(args ...string) string {
	s.t.Helper()
	out, err := shell.Run(s.t.Context(), "", s.program, args...)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

func (s *site) kubectl(cluster string, args ...string) string {
	s.t.Helper()
	out, err := s.Kubectl(s.t.Context(), cluster, args...)
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// status is what `status -o json` of both clusters says.
func (s *site) status() topology.Topology {
	s.t.Helper()
	var t topology.Topology
	if err := json.Unmarshal([]byte(s.tombolo("status", "--contexts", "east,west", "-o", "json")), &t); err != nil {
		s.t.Fatal(err)
	}
	return t
}

const namespaceManifest = "{apiVersion: v1, kind: Namespace, metadata: {name: plugin}}"

func TestPlugin(t *testing.T) {
	sh, err := shell.New()
	if err != nil {
		t.Fatal(err)
	}
	s := &site{Shell: sh, t: t, program: sh.Program("kubectl-tombolo")}
	if err := s.Apply(t.Context(), "west", namespaceManifest); err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(t.Context(), "east", namespaceManifest+echopod.Deployment("plugin", "web", 1)+echopod.Service("plugin", "web")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, cluster := range []string{"east", "west"} {
			if _, err := s.Kubectl(context.WithoutCancel(t.Context()), cluster, "delete", "namespace", "plugin", "--wait=false"); err != nil {
				t.Error(err)
			}
		}
	})
	s.kubectl("east", "-n", "plugin", "rollout", "status", "--timeout=60s", "deployment/web")
	for _, step := range []struct {
		name string
		run  func(*testing.T, *site)
	}{
		{"leave and join again", testLeave}, {"verify", testVerify}, {"status", testStatus}, {"export", testExport}, {"the hub", testHub}, {"gather", testGather},
		{"completion", testComplete}, {"interrupted", testInterrupted}, {"verify, broken", testVerifyFails}, {"bench", testBench}, {"unexport", testUnexport},
	} {
		ok := t.Run(step.name, func(t *testing.T) { step.run(t, &site{Shell: s.Shell, t: t, program: s.program}) })
		if !ok {
			t.FailNow()
		}
	}
}

// gateways are west's nodes that carry tunnels.
func (s *site) gateways() string {
	nodes, err := s.Nodes(s.t.Context(), "west", "clusterset.tombolo.dev/gateway=true")
	if err != nil {
		s.t.Fatal(err)
	}
	return strings.Join(nodes, ",")
}

func testLeave(t *testing.T, s *site) {
	gateways := s.gateways()
	gateway := strings.Split(gateways, ",")[0]
	image := s.kubectl("west", "-n", "tombolo-system", "get", "deployment", "tombolo-operator", "-o", "jsonpath={.spec.template.spec.containers[0].image}")
	server := s.kubectl("west", "get", "clusterset", "default", "-o", "jsonpath={.spec.hub.server}")
	inKernel, err := s.OnNode(t.Context(), gateway, "ip", "-oneline", "link", "show", "type", "wireguard")
	if err != nil {
		t.Fatal(err)
	}
	word := strings.Fields(s.tombolo("member", "add", "west", "--context", "hub", "--server", server))
	s.tombolo("leave", "--context", "west", "--yes")

	if got := s.kubectl("west", "get", "crds,validatingadmissionpolicies,clusterroles,clusterrolebindings,namespaces", "-o", "name"); strings.Contains(got, "tombolo") {
		t.Errorf("the cluster still has %s", got)
	}
	if got := s.kubectl("west", "get", "nodes", "-o", "yaml"); strings.Contains(got, "clusterset.tombolo.dev") {
		t.Error("a node still has a mark of tombolo")
	}
	if got := s.kubectl("west", "-n", "kube-system", "get", "configmap", "coredns", "-o", "yaml"); strings.Contains(got, "clusterset") {
		t.Errorf("CoreDNS still has %s", got)
	}
	for _, command := range [][]string{{"nft", "list", "tables"}, {"ip", "link"}, {"ip", "rule"}, {"ls", "/var/lib/tombolo"}, {"sh", "-c", "test ! -e /proc/net/ip_vs || ipvsadm -Ln"}} {
		out, err := s.OnNode(t.Context(), gateway, command...)
		if err != nil {
			t.Fatal(err)
		}
		for _, mark := range []string{"tombolo", "747", "gateway.key", "244."} {
			if strings.Contains(out, mark) {
				t.Errorf("%s on %s still says %q:\n%s", strings.Join(command, " "), gateway, mark, out)
			}
		}
	}
	if !testing.Short() {
		testProbe(t, s, image, gateway)
	}
	again := append(word[2:], "--context", "west", "--gateways", gateways)
	if inKernel == "" {
		again = append(again, "--userspace-wireguard")
	}
	s.tombolo(again...)
}

// testProbe: without tombolo, the nodes' ports are free and packets pass between the nodes; then a
// device has one of the ports, and the command names it and nothing else.
func testProbe(t *testing.T, s *site, image, gateway string) {
	check := []string{"check", "--context", "west", "--probe", "--probe-image", image}
	if got := s.tombolo(check...); !strings.Contains(got, "✓ ports") || !strings.Contains(got, "✓ node-network") {
		t.Errorf("check: %s", got)
	}
	s.onNode(gateway, "ip", "link", "add", "probe", "up", "type", "vxlan", "id", "9", "dstport", "7473", "dev", "lo")
	defer s.onNode(gateway, "ip", "link", "delete", "probe")
	got, err := shell.Run(t.Context(), "", s.program, append(check, "-o", "short")...)
	if err == nil || !strings.Contains(got, "✗ ports") || !strings.Contains(got, "UDP 7473 of node "+gateway) || strings.Contains(got, "node-network") {
		t.Errorf("%v: check: %s", err, got)
	}
	s.noBeds(time.Minute)
}

func testStatus(t *testing.T, s *site) {
	if got := s.tombolo("check", "--contexts", "east,west", "-o", "short"); strings.Contains(got, "✗") {
		t.Errorf("check: %s", got)
	}
	got := s.status()
	if found := faults(got); len(found) > 0 {
		t.Errorf("findings: %+v", found)
	}
	for _, c := range got.Clusters {
		if c.Hub != "Connected" || c.NodesServing != c.Nodes || len(c.Remotes) != 1 || !c.Remotes[0].Reachable {
			t.Errorf("cluster %s: %+v", c.ID, c)
		}
	}
}

// faults are the findings without links that were down again and again in the last minutes. Where all
// nodes share a few CPUs, these are no fault of what is tested.
func faults(of topology.Topology) []topology.Finding {
	return slices.DeleteFunc(of.Findings, func(f topology.Finding) bool { return strings.Contains(f.Message, "does not stay up") })
}

// testHub: the hub knows both members, was told of them lately, and counts what they publish.
func testHub(t *testing.T, s *site) {
	var got topology.Topology
	if err := json.Unmarshal([]byte(s.tombolo("status", "--context", "hub", "-o", "json")), &got); err != nil {
		t.Fatal(err)
	}
	// A hub of a lab is a cluster of its own, that of kind is in a member.
	if found := faults(got); len(got.Hubs) != 1 || len(found) > 0 || s.InLab() && len(got.Clusters) > 0 {
		t.Fatalf("hubs %+v, findings %+v, clusters %+v", got.Hubs, found, got.Clusters)
	}
	for _, m := range got.Hubs[0].Members {
		want := map[string]int{"east": 1}[string(m.ID)]
		if m.Heartbeat == nil || m.AgeSeconds > 40 || m.Gateways == 0 || m.Exports.Used < want || m.Exports.Limit != 5000 || m.Endpoints.Used < want {
			t.Errorf("member %+v", m)
		}
	}
	if text := s.tombolo("status", "--context", "hub"); !strings.Contains(text, "s ago") || !strings.Contains(text, "/5000") {
		t.Errorf("it shows %s", text)
	}
}

func testExport(t *testing.T, s *site) {
	s.tombolo("export", "web", "-n", "plugin", "--context", "east")
	var ips []string
	_, err := shell.Eventually(t.Context(), 30*time.Second, func(ctx context.Context) (string, error) {
		node := strings.Split(s.gateways(), ",")[0]
		out, err := s.Kubectl(ctx, "west", "-n", "plugin", "get", "serviceimport", "web", "-o", "jsonpath={.spec.ips[*]}")
		if ips = strings.Fields(out); err != nil || len(ips) == 0 {
			return "", errors.Join(err, errors.New("the ServiceImport has no clusterset IP yet"))
		}
		return s.OnNode(ctx, node, "curl", "--silent", "--show-error", "--fail", "--max-time", "3", "http://"+net.JoinHostPort(ips[0], "80"))
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, service := range s.status().Services {
		if service.Namespace != "plugin" {
			continue
		}
		for _, i := range service.Imports {
			want := topology.Import{Cluster: i.Cluster, Type: "ClusterSetIP", IPs: ips, Ports: []string{"80/TCP (http)"},
				From: []topology.Exporter{{Cluster: "east", Endpoints: 1, Ready: 1}}}
			if diff := cmp.Diff(want, i); diff != "" {
				t.Errorf("import of %s (-want +got):\n%s", i.Cluster, diff)
			}
		}
		if len(service.Imports) != 2 || len(service.Exports) != 1 || !service.Exports[0].Ready {
			t.Errorf("Service: %+v", service)
		}
	}
}

func testUnexport(t *testing.T, s *site) {
	s.tombolo("unexport", "web", "-n", "plugin", "--context", "east")
	_, err := shell.Eventually(t.Context(), 10*time.Second, func(ctx context.Context) (string, error) {
		return s.Kubectl(ctx, "west", "-n", "plugin", "wait", "--for=delete", "--timeout=5s", "serviceimport/web")
	})
	if err != nil {
		t.Error(err)
	}
}
