package main

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// objects are what to read of each cluster when something has failed.
var objects = [...][]string{
	{"get", "nodes,pods,services,endpointslices", "--all-namespaces", "--output", "wide"},
	{"describe", "clustersets,remoteclusters"},
	{"describe", "gatewaynodes", "--all-namespaces"},
	{"get", "events", "--all-namespaces"},
	{"--namespace", "kube-system", "logs", "--selector=k8s-app in (kube-dns, kube-proxy)", "--prefix", "--tail=20"},
}

// nodeState prints what decides whether a node's pods reach others, and DNS. Its arguments are the
// addresses of CoreDNS: its Service's, and its pods'.
const nodeState = `
for server in "$@"; do
	echo "@$server: $(dig +short +tries=1 +time=2 "@$server" kubernetes.default.svc.cluster.local. | tail -n 1)"
done
ip rule
ip route show table all | grep -v 'table local'
for server in "$@"; do
	nft list ruleset | grep -F "$server" | sort -u
	conntrack -L --dst "$server" 2>&1 | tail -n 5
	conntrack -L --reply-src "$server" 2>&1 | tail -n 5
done
`

// state is what is known of the clusters when something has failed.
func (t *tool) state(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	var b strings.Builder
	read := func(args ...string) string {
		out, err := t.run(ctx, "", "kubectl", args...)
		if err != nil {
			out += err.Error()
		}
		return strings.TrimSpace(out)
	}
	for _, c := range t.clusters {
		if _, err := t.run(ctx, "", "kubectl", "--context", c.Name, "get", "--raw", "/readyz"); err != nil {
			fmt.Fprintf(&b, "== %s does not answer\n", c.Name)
			continue
		}
		for _, args := range objects {
			fmt.Fprintf(&b, "== %s: kubectl %s\n%s\n", c.Name, strings.Join(args, " "), read(append([]string{"--context", c.Name}, args...)...))
		}
		dns := []string{"--context", c.Name, "--namespace", "kube-system", "get", "--selector=k8s-app=kube-dns", "--output"}
		servers := strings.Fields(read(append(dns, "jsonpath={.items[*].spec.clusterIP} {.items[*].status.podIP}", "services,pods")...))
		for _, node := range c.nodes() {
			args := append([]string{"--context", c.Name, "--namespace", nodePods, "exec", node, "--", "sh", "-c", nodeState, "sh"}, servers...)
			fmt.Fprintf(&b, "== %s\n%s\n", node, read(args...))
		}
	}
	return b.String()
}
