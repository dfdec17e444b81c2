//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/tombolo-net/tombolo/test/harness/shell"
)

const boundary = "boundary"

// boundarySite has two servers in east and a client in west. One of the servers is exported. The
// attacker has west's gateway: commands run on it as root.
type boundarySite struct {
	shell.Shell
	// open and closed are the addresses of east's servers, client that of west's pod.
	open, closed, client string
	// gateway is west's gateway, node one of east's, and tunnel the tunnel address of east's gateway.
	gateway, node, tunnel string
}

// pods are a namespace with pods that serve HTTP, and the Service of the first.
func pods(names ...string) string {
	var all strings.Builder
	fmt.Fprintf(&all, "{apiVersion: v1, kind: Namespace, metadata: {name: %s}}\n---\n", boundary)
	fmt.Fprintf(&all, "{apiVersion: v1, kind: Service, metadata: {name: %[1]s, namespace: %[2]s}, spec: {selector: {app: %[1]s}, ports: [{port: 80, targetPort: 8080}]}}\n", names[0], boundary)
	for _, name := range names {
		fmt.Fprintf(&all, `---
apiVersion: v1
kind: Pod
metadata: {name: %[1]s, namespace: %[2]s, labels: {app: %[1]s}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: c
    image: busybox
    command: [sh, -c, 'mkdir -p /www; echo %[1]s > /www/index.html; exec httpd -f -p 8080 -h /www']
`, name, boundary)
	}
	return all.String()
}

func newBoundarySite(t *testing.T) boundarySite {
	sh, err := shell.New()
	if err != nil {
		t.Fatal(err)
	}
	s := boundarySite{Shell: sh}
	ctx := t.Context()
	for cluster, names := range map[string][]string{"east": {"open", "closed"}, "west": {"client"}} {
		if err := s.Apply(ctx, cluster, pods(names...)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			_, _ = s.Kubectl(context.WithoutCancel(ctx), cluster, "delete", "namespace", boundary, "--wait=false")
		})
		if _, err := s.Kubectl(ctx, cluster, "-n", boundary, "wait", "--for=condition=Ready", "pod", "--all", "--timeout=180s"); err != nil {
			t.Fatal(err)
		}
	}
	export := fmt.Sprintf("{apiVersion: multicluster.x-k8s.io/v1beta1, kind: ServiceExport, metadata: {name: open, namespace: %s}}", boundary)
	if err := s.Apply(ctx, "east", export); err != nil {
		t.Fatal(err)
	}
	get := func(cluster, path string, args ...string) string {
		out, err := s.Kubectl(ctx, cluster, append(append([]string{"get"}, args...), "-o", "jsonpath="+path)...)
		if err != nil || out == "" {
			t.Fatalf("%v: %q, %v", args, out, err)
		}
		return out
	}
	s.open = get("east", "{.status.podIP}", "-n", boundary, "pod", "open")
	s.closed = get("east", "{.status.podIP}", "-n", boundary, "pod", "closed")
	s.client = get("west", "{.status.podIP}", "-n", boundary, "pod", "client")
	gateway := "clusterset.tombolo.dev/gateway=true"
	s.gateway = get("west", "{.items[0].metadata.name}", "nodes", "-l", gateway)
	s.node = get("east", "{.items[0].status.addresses[?(@.type=='InternalIP')].address}", "nodes", "-l", gateway)
	s.tunnel = get("east", "{.items[0].spec.tunnelAddresses[0]}", "-n", "tombolo-system", "gatewaynodes")
	return s
}

// fromPod tells whether west's pod gets something by HTTP within two seconds.
func (s boundarySite) fromPod(t *testing.T, address string) bool {
	out, err := s.InPod(t.Context(), "west", boundary, "client", "timeout", "2", "wget", "-q", "-O", "-", "http://"+address)
	return err == nil && out != ""
}

// connects tells whether somebody answers west's pod with anything, a reset too.
func (s boundarySite) connects(t *testing.T, address, port string) bool {
	begin := time.Now()
	_, err := s.InPod(t.Context(), "west", boundary, "client", "timeout", "3", "nc", "-z", "-w", "3", address, port)
	return err == nil || time.Since(begin) < 2*time.Second && strings.Contains(err.Error(), "refused")
}

// fromGateway tells whether somebody answers west's gateway, which sends with the source of west's pod
// and from a port of its choice, into the tunnel.
func (s boundarySite) fromGateway(t *testing.T, address, port, sourcePort string) bool {
	target := fmt.Sprintf("TCP4:%s,bind=%s:%s,ip-freebind,reuseaddr,connect-timeout=2", net.JoinHostPort(address, port), s.client, sourcePort)
	out, err := s.OnNode(t.Context(), s.gateway, "sh", "-c", "printf 'GET / HTTP/1.0\\r\\n\\r\\n' | timeout 3 socat -T 2 - "+target+" 2>&1")
	return err == nil && out != "" || err != nil && strings.Contains(err.Error(), "refused")
}

// TestBoundary: pods of west reach in east what east exports, and nothing else, whatever west's gateway
// sends. With the filter switched off they do, so that the test proves something.
func TestBoundary(t *testing.T) {
	s := newBoundarySite(t)
	ctx := t.Context()
	eventually := func(what string, want bool, check func() bool) {
		t.Helper()
		if _, err := shell.Eventually(ctx, time.Minute, func(context.Context) (string, error) {
			if got := check(); got != want {
				return "", fmt.Errorf("%s: %t, want %t", what, got, want)
			}
			return "", nil
		}); err != nil {
			t.Error(err)
		}
	}
	name := fmt.Sprintf("open.%s.svc.clusterset.local", boundary)
	eventually("by its name", true, func() bool { return s.fromPod(t, name) })
	eventually("by its own address", true, func() bool { return s.fromPod(t, s.open+":8080") })

	api, err := s.Kubectl(ctx, "east", "get", "service", "kubernetes", "-o", "jsonpath={.spec.clusterIP}")
	if err != nil {
		t.Fatal(err)
	}
	attacks := map[string]func() bool{
		"a pod that is not exported":               func() bool { return s.fromPod(t, s.closed+":8080") },
		"another port of an exported pod":          func() bool { return s.connects(t, s.open, "8081") },
		"the kubelet by the node's address":        func() bool { return s.connects(t, s.node, "10250") },
		"the kubelet by the tunnel's address":      func() bool { return s.connects(t, s.tunnel, "10250") },
		"the agent's page by the tunnel's address": func() bool { return s.connects(t, s.tunnel, "7474") },
		"the API server's clusterIP":               func() bool { return s.connects(t, api, "443") },
		"a pod, from a port that nobody asked":     func() bool { return s.fromGateway(t, s.closed, "8080", "8080") },
		"the kubelet, from a gateway":              func() bool { return s.fromGateway(t, s.tunnel, "10250", "8080") },
	}
	for what, attack := range attacks {
		if attack() {
			t.Errorf("west reaches %s", what)
		}
	}
	if !s.fromPod(t, name) {
		t.Error("the exported Service is lost beside the attacks")
	}
	eventually("an event tells", true, func() bool { return s.event(t) })
	s.dropOff(t, eventually)
}

// dropOff ends the export, and switches the filter off.
func (s boundarySite) dropOff(t *testing.T, eventually func(string, bool, func() bool)) {
	t.Helper()
	ctx := t.Context()
	if _, err := s.Kubectl(ctx, "east", "-n", boundary, "delete", "serviceexport", "open"); err != nil {
		t.Fatal(err)
	}
	eventually("by its own address, when it is exported no more", false, func() bool { return s.fromPod(t, s.open+":8080") })
	// West's filter, too: it drops answers that no export covers.
	mode := func(ctx context.Context, mode string) {
		for _, cluster := range []string{"east", "west"} {
			if _, err := s.Kubectl(ctx, cluster, "patch", "clusterset", "default", "--type=merge", "-p", `{"spec":{"gateway":{"ingress":"`+mode+`"}}}`); err != nil {
				t.Error(err)
			}
		}
	}
	defer mode(context.WithoutCancel(ctx), "Exported")
	mode(ctx, "Any")
	eventually("without the filter", true, func() bool { return s.fromPod(t, s.closed+":8080") })
	mode(ctx, "Exported")
	eventually("with the filter again", false, func() bool { return s.fromPod(t, s.closed+":8080") })
}

// event tells whether east says what it drops of west's, and what to do.
func (s boundarySite) event(t *testing.T) bool {
	out, err := s.Kubectl(t.Context(), "east", "get", "events", "--all-namespaces", "--field-selector", "reason=IngressDropped,regarding.name=west", "-o", "json")
	if err != nil {
		out, err = s.Kubectl(t.Context(), "east", "get", "events", "--all-namespaces", "--field-selector", "reason=IngressDropped", "-o", "json")
	}
	var list struct {
		Items []struct{ Message, Note string }
	}
	if err != nil || json.Unmarshal([]byte(out), &list) != nil {
		return false
	}
	for _, e := range list.Items {
		if text := e.Message + e.Note; strings.Contains(text, "cluster west") && strings.Contains(text, s.client) && strings.Contains(text, "export the Service") {
			return true
		}
	}
	return false
}
