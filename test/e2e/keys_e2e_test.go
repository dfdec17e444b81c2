//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tombolo-net/tombolo/test/harness/shell"
)

const keyFile = "/var/lib/tombolo/gateway.key"

// TestGatewayKeys: a gateway's private key is on its node, for root alone. With the token of a gateway's
// pod nobody reads a key from the API. The key outlives the pod, and the tunnels come back with it.
func TestGatewayKeys(t *testing.T) {
	s, err := shell.New()
	if err != nil {
		t.Fatal(err)
	}
	const cluster, system = "west", "tombolo-system"
	kubectl := func(args ...string) string {
		t.Helper()
		out, err := s.Kubectl(t.Context(), cluster, args...)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	nodes, err := s.Nodes(t.Context(), cluster, "clusterset.tombolo.dev/gateway=true")
	if err != nil || len(nodes) == 0 {
		t.Fatalf("gateways %v, %v", nodes, err)
	}
	node := nodes[0]
	pod := func() string {
		return strings.TrimSpace(kubectl("-n", system, "get", "pods", "-l", "app.kubernetes.io/name=tombolo-gateway",
			"--field-selector", "spec.nodeName="+node, "-o", "jsonpath={.items[0].metadata.name}"))
	}
	publicKey := func() string {
		return kubectl("-n", system, "get", "gatewaynode", node, "-o", "jsonpath={.spec.publicKey}")
	}

	modes, err := s.OnNode(t.Context(), node, "stat", "-c", "%a %U %F", "/var/lib/tombolo", keyFile)
	if want := "700 root directory\n600 root regular file"; err != nil || strings.TrimSpace(modes) != want {
		t.Errorf("the folder and the file are %q, want %q; %v", modes, want, err)
	}
	content, err := s.OnNode(t.Context(), node, "cat", keyFile)
	if err != nil || len(strings.TrimSpace(content)) != 44 {
		t.Errorf("the file has %d characters, %v", len(content), err)
	}

	old := pod()
	token := kubectl("-n", system, "create", "token", "tombolo-gateway", "--bound-object-kind", "Pod", "--bound-object-name", old)
	server := kubectl("config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}")
	asGateway := []string{"--kubeconfig=/dev/null", "--insecure-skip-tls-verify", "--server=" + server, "--token=" + token}
	if out, err := shell.Run(t.Context(), "", "kubectl", append(asGateway, "get", "gatewaynodes", "-n", system)...); err != nil || !strings.Contains(out, node) {
		t.Errorf("the token cannot be used at all: %q, %v", out, err)
	}
	for _, attack := range [][]string{
		{"get", "secrets", "-n", system},
		{"get", "secret", "tombolo-gateway-keys", "-n", system},
		{"get", "secret", "tombolo-hub", "-n", system},
		{"get", "secrets", "-A"},
	} {
		out, err := shell.Run(t.Context(), "", "kubectl", append(append(attack, asGateway...), "-o", "jsonpath={.data}{.items[*].data}")...)
		if err == nil || out != "" {
			t.Errorf("a gateway reads by %v: %d characters", attack, len(out))
		}
	}
	everything := kubectl("get", "secrets,configmaps", "-A", "-o", "yaml")
	if key := strings.TrimSpace(content); key != "" && strings.Contains(everything, key) {
		t.Error("the API holds the key")
	}

	before := publicKey()
	kubectl("-n", system, "delete", "pod", old)
	if _, err := shell.Eventually(t.Context(), 3*time.Minute, func(ctx context.Context) (string, error) {
		ready, err := s.Kubectl(ctx, cluster, "-n", system, "get", "pods", "-l", "app.kubernetes.io/name=tombolo-gateway",
			"--field-selector", "spec.nodeName="+node, "-o", `jsonpath={.items[*].metadata.name} {.items[*].status.conditions[?(@.type=="Ready")].status}`)
		if err != nil || strings.Contains(ready, old) || !strings.HasSuffix(ready, " True") {
			return "", fmt.Errorf("pods and their readiness: %q, %w", ready, err)
		}
		return "", nil
	}); err != nil {
		t.Fatal(err)
	}
	if after := publicKey(); after != before {
		t.Errorf("the next pod has the public key %s, the one before had %s", after, before)
	}
	kubectl("wait", "--for=condition=Reachable", "remotecluster", "--all", "--timeout=60s")
}
