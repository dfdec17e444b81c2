//go:build e2e

package netpol

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/tombolo-net/tombolo/test/harness/shell"
)

const engine = `
apiVersion: v1
kind: Namespace
metadata: {name: netpol-engine}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: engine, namespace: netpol-engine}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: netpol-engine}
rules:
- {apiGroups: [""], resources: [pods, namespaces], verbs: [list, watch]}
- {apiGroups: [networking.k8s.io], resources: [networkpolicies], verbs: [list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: netpol-engine}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: netpol-engine}
subjects: [{kind: ServiceAccount, name: engine, namespace: netpol-engine}]
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: engine, namespace: netpol-engine}
spec:
  selector: {matchLabels: {app: engine}}
  template:
    metadata: {labels: {app: engine}}
    spec:
      hostNetwork: true
      serviceAccountName: engine
      tolerations: [{operator: Exists}]
      terminationGracePeriodSeconds: 10
      containers:
      - name: engine
        image: nicolaka/netshoot:v0.15
        imagePullPolicy: IfNotPresent
        command: [/engine, --hostname-override=$(NODE), --disable-nri, "--metrics-bind-address=127.0.0.1:9080"]
        env: [{name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}]
        securityContext: {privileged: true}
        volumeMounts: [{name: engine, mountPath: /engine}]
      volumes: [{name: engine, hostPath: {path: %s, type: File}}]
`

// enforced says whether the cluster's CNI enforces NetworkPolicies, as Calico does. On other clusters
// of kind it skips the test: their nodes do not see the engine, which is a file of the host.
func enforced(t *testing.T, sh shell.Shell, cluster string) bool {
	t.Helper()
	kind, err := sh.Kubectl(t.Context(), cluster, "get", "crd", "felixconfigurations.crd.projectcalico.org", "--ignore-not-found", "--output", "name")
	if err != nil {
		t.Fatal(err)
	}
	if kind == "" && os.Getenv(shell.NodePodsEnv) != "" {
		t.Skip("nothing enforces NetworkPolicies: go run ./hack/kind -cni hack/kind/cni/calico.sh up")
	}
	return kind != ""
}

// startEngine starts the engine on the nodes of a cluster, until the test ends. The lab's nodes see the
// host's files.
func startEngine(t *testing.T, sh shell.Shell, cluster string) {
	t.Helper()
	tool := exec.CommandContext(t.Context(), "../../hack/tool.sh", "kube-network-policies")
	program, err := shell.Output(tool)
	if err != nil {
		t.Fatal(err)
	}
	manifest := fmt.Sprintf(engine, strings.TrimSpace(program))
	if err := sh.Apply(t.Context(), cluster, manifest); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		for _, object := range [][]string{{"namespace", "netpol-engine"}, {"clusterrole", "netpol-engine"}, {"clusterrolebinding", "netpol-engine"}} {
			if _, err := sh.Kubectl(ctx, cluster, append([]string{"delete", "--timeout=" + within.String()}, object...)...); err != nil {
				t.Error(err)
			}
		}
		removeRules(ctx, t, sh, cluster)
	})
	if _, err := sh.Kubectl(t.Context(), cluster, "-n", "netpol-engine", "rollout", "status", "daemonset/engine", "--timeout="+within.String()); err != nil {
		t.Fatal(err)
	}
}

// removeRules removes what the engine leaves behind when it ends: its rules send packets of pods with a
// policy, such as operators, to a program that is gone, and so drop them.
func removeRules(ctx context.Context, t *testing.T, sh shell.Shell, cluster string) {
	t.Helper()
	nodes, err := sh.Nodes(ctx, cluster, "")
	if err != nil {
		t.Error(err)
	}
	const table = "table inet kube-network-policies"
	for _, node := range nodes {
		if _, err := sh.OnNode(ctx, node, "nft", "add "+table+"; delete "+table); err != nil {
			t.Error(err)
		}
	}
}
