//go:build e2e

package netpol

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/tombolo-net/tombolo/test/harness/loadpod"
	"github.com/tombolo-net/tombolo/test/harness/shell"
)

// own is a cluster whose operators somebody has opened another port in.
type own struct {
	shell.Shell
	cluster, other string
}

const (
	ownNamespace = "netpol-own"
	// openPort is served in the operators' pods; no policy allows it.
	openPort = "9090"
)

// TestOwnPods: with an engine that enforces the NetworkPolicy of the operators, another pod reaches their
// health and metrics and no other port. Operators, and what they import, and CoreDNS go on working: those that
// run when the policy is enforced, and those that start later.
func TestOwnPods(t *testing.T) {
	sh, err := shell.New()
	if err != nil {
		t.Fatal(err)
	}
	o := own{sh, "east", "west"}
	byCNI := enforced(t, sh, o.cluster)
	o.deploy(t)
	if byCNI {
		o.opened(t)
	} else {
		for _, address := range o.operators(t) {
			o.reaches(t, "without an engine", net.JoinHostPort(address, openPort), true)
		}
		startEngine(t, sh, o.cluster)
	}
	for _, address := range o.operators(t) {
		o.reaches(t, "with the engine", net.JoinHostPort(address, openPort), false)
		o.reaches(t, "with the engine", net.JoinHostPort(address, "7473")+"/healthz", true)
		o.reaches(t, "with the engine", net.JoinHostPort(address, "7473")+"/metrics", true)
	}
	o.imports(t, "first")
	for _, step := range [][]string{{"restart"}, {"status", "--timeout=" + within.String()}} {
		if _, err := sh.Kubectl(t.Context(), o.cluster, append([]string{"-n", "tombolo-system", "rollout", step[0], "deployment/tombolo-operator"}, step[1:]...)...); err != nil {
			t.Fatal(err)
		}
	}
	o.imports(t, "second")
	for _, address := range o.operators(t) {
		o.reaches(t, "of an operator that started later", net.JoinHostPort(address, "7473")+"/metrics", true)
	}
}

// deploy makes a client here, servers in the other cluster, and opens a port in the operators' pods. The
// process that serves it ends with the pods, which the test replaces.
func (o own) deploy(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	for cluster, pod := range map[string]string{o.cluster: "stranger", o.other: "server"} {
		nodes, err := o.Nodes(ctx, cluster, "!clusterset.tombolo.dev/gateway")
		if err != nil {
			t.Fatal(err)
		}
		if err := o.Apply(ctx, cluster, loadpod.Namespace(ownNamespace)+loadpod.Pod{Namespace: ownNamespace, Name: pod, Node: nodes[0]}.Manifest()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if _, err := o.Kubectl(context.WithoutCancel(ctx), cluster, "delete", "namespace", ownNamespace, "--timeout="+within.String()); err != nil {
				t.Error(err)
			}
		})
		if err := loadpod.Ready(ctx, o.Shell, cluster, ownNamespace, within); err != nil {
			t.Fatal(err)
		}
	}
	for pod := range o.operators(t) {
		go func() {
			_, _ = o.InPod(ctx, o.cluster, "tombolo-system", pod, "/tombolo", "echo", "serve", "--port="+openPort)
		}()
	}
}

// operators are the addresses of the operators' pods, by name, without those that end.
func (o own) operators(t *testing.T) map[string]string {
	t.Helper()
	out, err := o.Kubectl(t.Context(), o.cluster, "-n", "tombolo-system", "get", "pods", "-l", "app.kubernetes.io/name=tombolo-operator",
		"--field-selector=status.phase=Running", "-o", `jsonpath={range .items[*]}{.metadata.name} {.status.podIP} {.metadata.deletionTimestamp}{"\n"}{end}`)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for line := range strings.Lines(out) {
		if fields := strings.Fields(line); len(fields) == 2 {
			found[fields[0]] = fields[1]
		}
	}
	if len(found) == 0 {
		t.Fatal("no operator runs")
	}
	return found
}

// curl asks for what is there.
var curl = []string{"curl", "--silent", "--show-error", "--fail", "--http0.9", "--output", "/dev/null", "--max-time", "2"}

// opened asserts that the operators' nodes reach the opened port. Policies let a node reach its own
// pods.
func (o own) opened(t *testing.T) {
	t.Helper()
	for pod, address := range o.operators(t) {
		node, err := o.Kubectl(t.Context(), o.cluster, "-n", "tombolo-system", "get", "pod", pod, "--output", "jsonpath={.spec.nodeName}")
		if err != nil {
			t.Fatal(err)
		}
		where := net.JoinHostPort(address, openPort)
		o.answers(t, node+" asks "+where, true, func(ctx context.Context) error {
			_, err := o.OnNode(ctx, node, append(curl, "http://"+where)...)
			return err
		})
	}
}

// reaches asserts that the stranger gets an answer from there soon, or none.
func (o own) reaches(t *testing.T, when, where string, want bool) {
	t.Helper()
	o.answers(t, when+", a stranger asks "+where, want, func(ctx context.Context) error {
		_, err := o.InPod(ctx, o.cluster, ownNamespace, "stranger", append(curl, "http://"+where)...)
		return err
	})
}

// answers asserts that asking succeeds soon, or fails.
func (o own) answers(t *testing.T, what string, want bool, ask func(context.Context) error) {
	t.Helper()
	if _, err := shell.Eventually(t.Context(), within, func(ctx context.Context) (string, error) {
		err := ask(ctx)
		// The opened port answers whoever connects, and may reset the connection before it has read the request.
		answered := err == nil || strings.Contains(err.Error(), "exit code 56")
		if answered != want {
			return "", fmt.Errorf("answered: %t, want %t, %w", answered, want, err)
		}
		return "", nil
	}); err != nil {
		t.Errorf("%s: %v", what, err)
	}
}

// imports asserts that a Service that the other cluster exports now is imported here, and that a pod reaches
// it by its name.
func (o own) imports(t *testing.T, service string) {
	t.Helper()
	if err := o.Apply(t.Context(), o.other, loadpod.Service(ownNamespace, service, "server")); err != nil {
		t.Fatal(err)
	}
	if _, err := loadpod.ClusterSetIP(t.Context(), o.Shell, o.cluster, ownNamespace, service, "stranger", within); err != nil {
		t.Fatal(err)
	}
	o.reaches(t, service, fmt.Sprintf("%s.%s.svc.clusterset.local/", service, ownNamespace), true)
}
