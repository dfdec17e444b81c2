//go:build e2e

package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tombolo-net/tombolo/test/harness/loadpod"
	"github.com/tombolo-net/tombolo/test/harness/shell"
)

// imports names what both clusters import under the name web: an import that was deleted and made
// again has another UID.
func (u upgrade) imports(t *testing.T) string {
	t.Helper()
	var all []string
	for _, cluster := range []string{exporter, importer} {
		out, err := u.Kubectl(t.Context(), cluster, "--namespace", namespace, "get", "serviceimports.multicluster.x-k8s.io", "web",
			"--output", "jsonpath={.metadata.uid} {.spec.ips}")
		if err != nil {
			t.Error(err)
		}
		all = append(all, cluster+" "+out)
	}
	return strings.Join(all, ", ")
}

// gatewayKeys are the public keys of all gateways.
func (u upgrade) gatewayKeys(t *testing.T) string {
	t.Helper()
	var all []string
	for _, cluster := range []string{exporter, importer} {
		out, err := u.Kubectl(t.Context(), cluster, "--namespace", "tombolo-system", "get", "gatewaynodes",
			"--output", "jsonpath={range .items[*]}{.metadata.name} {.spec.publicKey} {end}")
		if err != nil {
			t.Error(err)
		}
		all = append(all, out)
	}
	return strings.Join(all, "")
}

// keysInAPI waits until the API has no private keys of gateways that keep them on their nodes, and no
// Secret for them if the operator is of this version, too.
func (u upgrade) keysInAPI(t *testing.T, cluster string, state int) {
	t.Helper()
	if now := partsOf(state); !slices.Contains(now, "gateway") || !slices.Contains(now, "operator") {
		return
	}
	if _, err := shell.Eventually(t.Context(), within, func(ctx context.Context) (string, error) {
		out, err := u.Kubectl(ctx, cluster, "--namespace", "tombolo-system", "get", "secret", "tombolo-gateway-keys",
			"--ignore-not-found", "--output", "name")
		if err == nil && out != "" {
			err = errors.New("it is there")
		}
		return "", err
	}); err != nil {
		t.Errorf("the Secret of the previous version in %s: %v", cluster, err)
	}
}

// serveFresh makes a pod in one cluster that serves and that nothing exports yet.
func (u upgrade) serveFresh(t *testing.T) {
	t.Helper()
	nodes, err := u.Nodes(t.Context(), exporter, "!clusterset.tombolo.dev/gateway")
	if err != nil {
		t.Fatal(err)
	}
	pod := loadpod.Pod{Namespace: namespace, Name: "fresh", Node: nodes[0]}
	if err := u.Apply(t.Context(), exporter, pod.Manifest()); err != nil {
		t.Fatal(err)
	}
	if _, err := u.Kubectl(t.Context(), exporter, "--namespace", namespace, "wait", "--for=condition=Ready", "pod/fresh", "--timeout="+within.String()); err != nil {
		t.Fatal(err)
	}
}

// exchange exports a new Service from both clusters, waits until both import it from both and it
// answers, and deletes it again. One of the clusters has a pod behind it.
func (u upgrade) exchange(t *testing.T, service string) {
	t.Helper()
	manifest := loadpod.Service(namespace, service, "fresh")
	for _, cluster := range []string{exporter, importer} {
		if err := u.Apply(t.Context(), cluster, manifest); err != nil {
			t.Fatal(err)
		}
	}
	var address string
	for _, cluster := range []string{exporter, importer} {
		found, err := shell.Eventually(t.Context(), within, func(ctx context.Context) (string, error) {
			out, err := u.Kubectl(ctx, cluster, "--namespace", namespace, "get", "serviceimports.multicluster.x-k8s.io", service,
				"--output", "jsonpath={.spec.ips[0]} {.status.clusters[*].cluster}")
			fields := strings.Fields(out)
			if err == nil && len(fields) != 3 {
				err = fmt.Errorf("import %s of %s has clusterset IP and clusters %q", service, cluster, out)
			}
			if err != nil {
				return "", err
			}
			return fields[0], nil
		})
		if err != nil {
			t.Error(err)
		}
		address = found
	}
	if _, err := shell.Eventually(t.Context(), within, func(ctx context.Context) (string, error) {
		return "", loadpod.Ask(ctx, u.Shell, importer, namespace, "client", address, 5)
	}); err != nil {
		t.Errorf("%s does not answer: %v", service, err)
	}
	for _, cluster := range []string{exporter, importer} {
		if _, err := u.Kubectl(t.Context(), cluster, "--namespace", namespace, "delete", "service,serviceexports.multicluster.x-k8s.io", service); err != nil {
			t.Error(err)
		}
	}
}
