package demo

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/tombolo-net/tombolo/test/harness/shell"
)

// hostManifest is a pod with network tools in the host's network of every node.
const hostManifest = `
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: host, namespace: demo}
spec:
  selector: {matchLabels: {app: host}}
  template:
    metadata: {labels: {app: host}}
    spec:
      hostNetwork: true
      terminationGracePeriodSeconds: 1
      tolerations: [{operator: Exists}]
      containers:
      - name: tools
        image: nicolaka/netshoot:v0.15
        imagePullPolicy: IfNotPresent
        command: [sleep, infinity]
`

// hostClients asks from the host's network of every node of the importing cluster, by the
// clusterset IP and by the IP of a pod: the server must see the transit address that the node's
// annotation gives it.
func (e *Env) hostClients(ctx context.Context) (string, error) {
	if err := e.Apply(ctx, e.client, hostManifest); err != nil {
		return "", err
	}
	if _, err := e.inNamespace(ctx, e.client, "rollout", "status", "daemonset/host", "--request-timeout=0", "--timeout=120s"); err != nil {
		return "", err
	}
	pods, err := e.inNamespace(ctx, e.client, "get", "pods", "--selector", "app=host",
		"--output", `jsonpath={range .items[*]}{.metadata.name} {.spec.nodeName}{"\n"}{end}`)
	if err != nil {
		return "", err
	}
	web, err := e.inNamespace(ctx, e.server, "get", "pods", "--selector", "app=web", "--output", "jsonpath={.items[0].metadata.name}")
	if err != nil {
		return "", err
	}
	podIPs, err := e.podIPs(ctx, e.server, web)
	if err != nil {
		return "", err
	}
	var targets []netip.AddrPort
	for i, vip := range e.vips {
		targets = append(targets, netip.AddrPortFrom(vip, 80), netip.AddrPortFrom(podIPs[min(i, len(podIPs)-1)], 8080))
	}
	var evidence []string
	for line := range strings.Lines(pods) {
		pod, node, _ := strings.Cut(strings.TrimSpace(line), " ")
		for _, target := range targets {
			seen, err := e.hostClient(ctx, pod, node, target)
			if err != nil {
				return "", err
			}
			evidence = append(evidence, seen)
		}
	}
	if len(evidence) < 2*len(targets) {
		return "", fmt.Errorf("%d pods are in the host's network, want one on each node:\n%s", len(evidence)/len(targets), pods)
	}
	return strings.Join(evidence, "\n"), nil
}

// hostClient asks the address from the pod in the node's own network.
func (e *Env) hostClient(ctx context.Context, pod, node string, target netip.AddrPort) (string, error) {
	annotation, err := e.get(ctx, e.client, "node/"+node, `{.metadata.annotations.clusterset\.tombolo\.dev/transit-address}`)
	if err != nil {
		return "", err
	}
	assigned, err := addresses(annotation)
	if err != nil {
		return "", err
	}
	transit, err := ofFamily(assigned, target.Addr())
	if err != nil {
		return "", fmt.Errorf("the transit addresses of node %s: %w", node, err)
	}
	return shell.Eventually(ctx, 20*time.Second, func(ctx context.Context) (string, error) {
		out, err := e.InPod(ctx, e.client, namespace, pod, "curl", "--silent", "--show-error", "--fail", "--max-time", patience, "http://"+target.String()+"/")
		if err != nil {
			return "", err
		}
		answer, err := parseAnswer(out)
		if err != nil {
			return "", err
		}
		if got := answer.client.Addr(); got != transit {
			return "", fmt.Errorf("from %s to %s: the server saw %s, the node's transit address is %s", node, target, got, transit)
		}
		return fmt.Sprintf("%s to %s: pod %s saw %s, the node's transit address", node, target, answer.pod, transit), nil
	})
}
