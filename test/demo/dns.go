package demo

import (
	"context"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/tombolo-net/tombolo/test/harness/shell"
)

// dnsReady wants both clusters to serve clusterset.local.
func (e *Env) dnsReady(ctx context.Context) (string, error) {
	clusters := []string{e.server, e.client}
	evidence := make([]string, len(clusters))
	group, ctx := errgroup.WithContext(ctx)
	for i, cluster := range clusters {
		group.Go(func() (err error) {
			evidence[i], err = DNSReady(ctx, e.Shell, cluster)
			return err
		})
	}
	return strings.Join(evidence, ""), group.Wait()
}

// DNSReady waits until tombolo has configured a cluster's CoreDNS, and returns the Corefile's lines
// with the zone.
func DNSReady(ctx context.Context, sh shell.Shell, cluster string) (string, error) {
	if _, err := sh.Kubectl(ctx, cluster, "wait", "--for=condition=DNSReady", "--timeout=60s", "clusterset/default"); err != nil {
		return "", err
	}
	corefile, err := sh.Kubectl(ctx, cluster, "--namespace", "kube-system", "get", "configmap/coredns", "--output", "jsonpath={.data.Corefile}")
	if err != nil {
		return "", err
	}
	lines := linesWith(cluster, corefile, "clusterset.local")
	if lines == "" {
		return "", fmt.Errorf("cluster %s: no line of the Corefile has clusterset.local:\n%s", cluster, corefile)
	}
	return lines, nil
}

// linesWith are the lines that hold the word, each with the cluster in front.
func linesWith(cluster, text, word string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if strings.Contains(line, word) {
			b.WriteString(cluster + ": " + strings.TrimSpace(line) + "\n")
		}
	}
	return b.String()
}
