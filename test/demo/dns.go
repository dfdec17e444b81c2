package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/tombolo-net/tombolo/test/shell"
)

// configureDNS makes both clusters serve clusterset.local, at the same time.
func (e *Env) configureDNS(ctx context.Context) (string, error) {
	clusters := []string{e.server, e.client}
	evidence := make([]string, len(clusters))
	group, ctx := errgroup.WithContext(ctx)
	for i, cluster := range clusters {
		group.Go(func() (err error) {
			evidence[i], err = ConfigureDNS(ctx, e.Shell, cluster)
			return err
		})
	}
	return strings.Join(evidence, ""), group.Wait()
}

// ConfigureDNS does in one cluster what the README tells: the right to read ServiceImports, the zone clusterset.local on
// the Corefile's kubernetes line, `multicluster clusterset.local` in its block, no caching of the zone, and a restart.
// It returns the Corefile's lines with the zone.
func ConfigureDNS(ctx context.Context, sh shell.Shell, cluster string) (string, error) {
	root, err := repositoryRoot()
	if err != nil {
		return "", err
	}
	if _, err := sh.Kubectl(ctx, cluster, "apply", "--kustomize", filepath.Join(root, "config", "coredns")); err != nil {
		return "", err
	}
	corefile, err := sh.Kubectl(ctx, cluster, "--namespace", "kube-system", "get", "configmap/coredns", "--output", "jsonpath={.data.Corefile}")
	if err != nil {
		return "", err
	}
	edited, err := withClusterSetZone(corefile)
	if err != nil {
		return "", fmt.Errorf("cluster %s: %w", cluster, err)
	}
	patch, err := json.Marshal(map[string]any{"data": map[string]string{"Corefile": edited}})
	if err != nil {
		return "", err
	}
	for _, args := range [][]string{
		{"patch", "configmap/coredns", "--patch", string(patch)},
		{"rollout", "restart", "deployment/coredns"},
		{"rollout", "status", "deployment/coredns", "--timeout=120s"},
	} {
		if _, err := sh.Kubectl(ctx, cluster, append([]string{"--namespace", "kube-system"}, args...)...); err != nil {
			return "", err
		}
	}
	return linesWith(cluster, edited, "clusterset.local"), nil
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

// withClusterSetZone adds clusterset.local to the kubernetes block of a Corefile, and to the zones that its cache leaves
// out, if cluster.local is one; a Corefile that has it stays as it is.
func withClusterSetZone(corefile string) (string, error) {
	if strings.Contains(corefile, "multicluster clusterset.local") {
		return corefile, nil
	}
	var out []string
	found := false
	for line := range strings.Lines(corefile) {
		fields := strings.Fields(line)
		indent := line[:len(line)-len(strings.TrimLeft(line, " \t"))]
		switch {
		case !found && len(fields) > 1 && fields[0] == "kubernetes" && fields[len(fields)-1] == "{":
			found = true
			out = append(out, strings.TrimRight(line, " {\n")+" clusterset.local {\n", indent+"    multicluster clusterset.local\n")
		case len(fields) > 2 && fields[0] == "disable" && slices.Contains(fields, "cluster.local"):
			out = append(out, strings.TrimRight(line, " \n")+" clusterset.local\n")
		default:
			out = append(out, line)
		}
	}
	if !found {
		return "", fmt.Errorf("the Corefile has no line `kubernetes ... {`:\n%s", corefile)
	}
	return strings.Join(out, ""), nil
}

// repositoryRoot is the nearest folder above the working directory that holds go.mod.
func repositoryRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("no go.mod above the working directory: run this inside tombolo's repository")
		}
		dir = filepath.Dir(dir)
	}
}
