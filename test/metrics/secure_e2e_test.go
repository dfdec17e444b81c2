//go:build e2e

package metrics

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tombolo-net/tombolo/test/harness/loadpod"
	"github.com/tombolo-net/tombolo/test/harness/shell"
)

// rollOut is how long new pods of all parts may take on a busy machine.
const rollOut = 4 * time.Minute

// secured is a cluster with the component for secure metrics.
type secured struct {
	shell.Shell
	cluster, namespace string
}

// TestSecureMetrics: with the component, operators, gateways and dataplanes serve metrics by TLS, and only
// to who has the right; their probes go on, and so does what asks at 127.0.0.1. Without it metrics are for
// everybody.
func TestSecureMetrics(t *testing.T) {
	sh, err := shell.New()
	if err != nil {
		t.Fatal(err)
	}
	s := secured{sh, "east", "secure-metrics"}
	s.deploy(t)
	for _, p := range s.pods(t) {
		s.answers(t, p.name+" as it is", "http://"+p.address+"/metrics", "", "200")
	}
	s.secure(t)
	reader, stranger := s.token(t, "prometheus"), s.token(t, "default")
	pods := s.pods(t)
	for _, p := range pods {
		url := "https://" + p.address
		s.answers(t, p.name+" without a token", url+"/metrics", "", "401")
		s.answers(t, p.name+" without the right", url+"/metrics", stranger, "403")
		s.answers(t, p.name+" with the right", url+"/metrics", reader, "200")
		s.answers(t, p.name+" in clear", "http://"+p.address+"/metrics", reader, "400")
		s.answers(t, p.name+"'s health", url+"/readyz", "", "200")
		own := "127.0.0.1:" + p.address[strings.LastIndex(p.address, ":")+1:]
		if page, err := sh.InPod(t.Context(), s.cluster, "tombolo-system", p.name, "/tombolo", "dump", "page", own, "/metrics"); err != nil || !strings.Contains(page, "tombolo_") {
			t.Errorf("%s at %s: %v", p.name, own, err)
		}
	}
	out, err := sh.Kubectl(t.Context(), s.cluster, "-n", "tombolo-system", "get", "endpointslices", "-l", "kubernetes.io/service-name=tombolo-metrics",
		"-o", "jsonpath={.items[*].endpoints[*].targetRef.name}")
	if got := strings.Fields(out); err != nil || len(got) != len(pods) {
		t.Errorf("the Service for scrapers has %v, want %d pods; %v", got, len(pods), err)
	}
}

// deploy makes a client, and an account that may get metrics.
func (s secured) deploy(t *testing.T) {
	t.Helper()
	nodes, err := s.Nodes(t.Context(), s.cluster, "")
	if err != nil {
		t.Fatal(err)
	}
	manifest := loadpod.Namespace(s.namespace) + loadpod.Pod{Namespace: s.namespace, Name: "client", Node: nodes[0], Sleeps: true}.Manifest()
	if err := s.Apply(t.Context(), s.cluster, manifest); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"-n", s.namespace, "create", "serviceaccount", "prometheus"},
		{"create", "clusterrole", s.namespace, "--verb=get", "--non-resource-url=/metrics"},
		{"create", "clusterrolebinding", s.namespace, "--clusterrole=" + s.namespace, "--serviceaccount=" + s.namespace + ":prometheus"},
	} {
		if _, err := s.Kubectl(t.Context(), s.cluster, args...); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		for _, kind := range []string{"namespace", "clusterrole", "clusterrolebinding"} {
			if _, err := s.Kubectl(context.WithoutCancel(t.Context()), s.cluster, "delete", "--wait=false", kind, s.namespace); err != nil {
				t.Error(err)
			}
		}
	})
	if err := loadpod.Ready(t.Context(), s.Shell, s.cluster, s.namespace, rollOut); err != nil {
		t.Fatal(err)
	}
}

// secure adds the component until the test ends.
func (s secured) secure(t *testing.T) {
	t.Helper()
	without, with := s.overlay(t), s.overlay(t, "secure-metrics")
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		if _, err := s.Kubectl(ctx, s.cluster, "-n", "tombolo-system", "delete", "service/tombolo-metrics", "clusterrolebinding/tombolo-secure-metrics"); err != nil {
			t.Error(err)
		}
		s.apply(ctx, t, without)
	})
	s.apply(t.Context(), t, with)
}

// overlay is a folder with what a member runs, and components besides: those that this cluster needs,
// too.
func (s secured) overlay(t *testing.T, components ...string) string {
	t.Helper()
	gateways, err := s.Nodes(t.Context(), s.cluster, "clusterset.tombolo.dev/gateway=true")
	if err != nil {
		t.Fatal(err)
	}
	inKernel, err := s.OnNode(t.Context(), gateways[0], "ip", "-oneline", "link", "show", "type", "wireguard")
	if err != nil {
		t.Fatal(err)
	}
	if inKernel == "" {
		components = append(components, "userspace-wireguard")
	}
	folder := t.TempDir()
	config, err := filepath.Abs(filepath.Join(root, "config"))
	if err != nil {
		t.Fatal(err)
	}
	if config, err = filepath.Rel(folder, config); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("resources: [%s/default]\ncomponents:\n", config)
	for _, name := range components {
		text += fmt.Sprintf("- %s/%s\n", config, name)
	}
	if err := os.WriteFile(filepath.Join(folder, "kustomization.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return folder
}

// apply applies a folder, and returns when all pods are as it says.
func (s secured) apply(ctx context.Context, t *testing.T, folder string) {
	t.Helper()
	steps := [][]string{{"apply", "-k", folder}}
	for _, workload := range []string{"deployment/tombolo-operator", "daemonset/tombolo-gateway", "daemonset/tombolo-dataplane"} {
		steps = append(steps, []string{"-n", "tombolo-system", "rollout", "status", workload, "--timeout=" + rollOut.String()})
	}
	for _, args := range steps {
		if _, err := s.Kubectl(ctx, s.cluster, args...); err != nil {
			t.Error(err)
		}
	}
}

// part is a pod of tombolo, and where it serves its pages.
type part struct{ name, address string }

// pods are those that run and do not end.
func (s secured) pods(t *testing.T) []part {
	t.Helper()
	out, err := s.Kubectl(t.Context(), s.cluster, "-n", "tombolo-system", "get", "pods", "-o",
		`jsonpath={range .items[*]}{.metadata.name} {.status.podIP} {.spec.containers[0].ports[0].containerPort} {.metadata.deletionTimestamp}{"\n"}{end}`)
	if err != nil {
		t.Fatal(err)
	}
	var pods []part
	for line := range strings.Lines(out) {
		if fields := strings.Fields(line); len(fields) == 3 {
			pods = append(pods, part{fields[0], net.JoinHostPort(fields[1], fields[2])})
		}
	}
	if len(pods) < 4 {
		t.Fatalf("%d pods of tombolo: %v", len(pods), pods)
	}
	return pods
}

// token is one of the account in the test's namespace.
func (s secured) token(t *testing.T, account string) string {
	t.Helper()
	token, err := s.Kubectl(t.Context(), s.cluster, "-n", s.namespace, "create", "token", account)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(token)
}

// answers asserts that the client soon gets that status. Networks of new pods may need a moment.
func (s secured) answers(t *testing.T, what, url, token, want string) {
	t.Helper()
	if _, err := shell.Eventually(t.Context(), time.Minute, func(ctx context.Context) (string, error) {
		got, err := s.InPod(ctx, s.cluster, s.namespace, "client", "curl", "--silent", "--insecure", "--max-time", "5",
			"--output", "/dev/null", "--write-out", "%{http_code}", "--header", "Authorization: Bearer "+token, url)
		if got != want {
			return "", fmt.Errorf("%s, want %s; %w", got, want, err)
		}
		return "", nil
	}); err != nil {
		t.Errorf("%s: %v", what, err)
	}
}
