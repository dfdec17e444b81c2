//go:build e2e

package explain

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/tombolo-net/tombolo/internal/explain"
	"github.com/tombolo-net/tombolo/test/harness/shell"
)

const (
	namespace = "explain"
	// within is how long a fault may take to be named.
	within = 10 * time.Second
	// calm is how long the lab may take to be well again.
	calm = 40 * time.Second
)

// site is a lab in which west's pods ask for Services of east.
type site struct {
	shell.Shell
	program string
	// client is the node of west that the client's pod is on, gateway and far are gateways of west and
	// east.
	client, gateway, far string
	// addresses are those of the client's pod.
	addresses []string
}

// The pods in east: web is well, unready never is, shut is shut off.
const pods = `
apiVersion: v1
kind: Namespace
metadata: {name: explain}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: explain, labels: {app: web}}
spec: &spec
  terminationGracePeriodSeconds: 1
  containers:
  - name: web
    image: tombolo-net/echo:lab
    imagePullPolicy: IfNotPresent
    args: ["--http=:8080"]
    ports: [{name: http, containerPort: 8080}]
    readinessProbe: {tcpSocket: {port: http}, periodSeconds: 1}
---
apiVersion: v1
kind: Pod
metadata: {name: shut, namespace: explain, labels: {app: shut}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: web, image: "tombolo-net/echo:lab", imagePullPolicy: IfNotPresent, args: ["--http=:8080"], ports: [{name: http, containerPort: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: unready, namespace: explain, labels: {app: unready}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: web
    image: tombolo-net/echo:lab
    imagePullPolicy: IfNotPresent
    args: ["--http=:8080"]
    ports: [{name: http, containerPort: 8080}]
    readinessProbe: {tcpSocket: {port: 8081}, periodSeconds: 1}
`

const clientPod = `
apiVersion: v1
kind: Namespace
metadata: {name: explain}
---
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: explain, labels: {app: client}}
spec:
  nodeName: %s
  terminationGracePeriodSeconds: 1
  containers:
  - {name: client, image: "tombolo-net/echo:lab", imagePullPolicy: IfNotPresent, args: ["--http=:8080"]}
`

// newSite makes namespaces and pods, which the end of the test removes.
func newSite(t *testing.T) *site {
	t.Helper()
	sh, err := shell.New()
	if err != nil {
		t.Fatal(err)
	}
	s := &site{Shell: sh, program: sh.Program("kubectl-tombolo")}
	s.client = s.node(t, "west", "clusterset.tombolo.dev/gateway!=true")
	s.gateway, s.far = s.node(t, "west", "clusterset.tombolo.dev/gateway=true"), s.node(t, "east", "clusterset.tombolo.dev/gateway=true")
	t.Cleanup(func() {
		for _, cluster := range []string{"east", "west"} {
			_, err := s.Kubectl(context.WithoutCancel(t.Context()), cluster, "delete", "namespace", namespace, "--wait=false")
			if err != nil {
				t.Error(err)
			}
		}
	})
	s.apply(t, "east", strings.ReplaceAll(pods, "&spec", ""))
	s.apply(t, "west", fmt.Sprintf(clientPod, s.client))
	s.kubectl(t, "east", "wait", "--for=condition=Ready", "--timeout=60s", "pod/web", "pod/shut")
	s.kubectl(t, "west", "wait", "--for=condition=Ready", "--timeout=60s", "pod/client")
	s.addresses = strings.Fields(s.kubectl(t, "west", "get", "pod", "client", "-o", "jsonpath={.status.podIPs[*].ip}"))
	return s
}

// has tells whether pods have addresses of that family: ipv4 or ipv6.
func (s *site) has(family string) bool {
	for _, a := range s.addresses {
		if strings.Contains(a, ":") == (family == "ipv6") {
			return true
		}
	}
	return false
}

func (s *site) node(t *testing.T, cluster, selector string) string {
	t.Helper()
	nodes, err := s.Nodes(t.Context(), cluster, selector)
	if err != nil {
		t.Fatal(err)
	}
	return nodes[0]
}

func (s *site) apply(t *testing.T, cluster, manifest string) {
	t.Helper()
	if err := s.Apply(t.Context(), cluster, manifest); err != nil {
		t.Fatal(err)
	}
}

// kubectl runs kubectl in the test's namespace.
func (s *site) kubectl(t *testing.T, cluster string, args ...string) string {
	t.Helper()
	out, err := s.Kubectl(t.Context(), cluster, append([]string{"--namespace", namespace}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// onNode runs a command on a node.
func (s *site) onNode(t *testing.T, node string, argv ...string) {
	t.Helper()
	if _, err := s.OnNode(context.WithoutCancel(t.Context()), node, argv...); err != nil {
		t.Error(err)
	}
}

// explain is what the command says of a name, asked for by the client's pod. Its exit code must fit.
func (s *site) explain(ctx context.Context, name string, more ...string) (explain.Answer, error) {
	args := []string{"explain", name, "--contexts", "west,east", "--from", namespace + "/client", "-n", namespace, "-o", "json"}
	cmd := exec.CommandContext(ctx, s.program, append(args, more...)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	failed := cmd.Run() != nil
	var a explain.Answer
	if err := json.Unmarshal(out.Bytes(), &a); err != nil {
		return a, fmt.Errorf("%w: %s", err, errs.String())
	}
	if failed != (a.Cause != nil) {
		return a, fmt.Errorf("the command failed: %t, with the cause %+v", failed, a.Cause)
	}
	return a, nil
}

// well returns once nothing is wrong with the name.
func (s *site) well(t *testing.T, name string) {
	t.Helper()
	_, err := shell.Eventually(t.Context(), calm, func(ctx context.Context) (string, error) {
		a, err := s.explain(ctx, name)
		if err != nil {
			return "", err
		}
		return "", isWell(a)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// isWell is an error that has each hop which is not as it should be.
func isWell(a explain.Answer) error {
	for _, h := range a.Hops {
		if h.State != explain.Good && !busy(h) {
			return fmt.Errorf("%s %s %s: %s: %s", h.State, h.Name, h.Cluster, h.Looked, h.Message)
		}
	}
	return nil
}
