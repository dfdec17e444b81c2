//go:build kind

// Package helm takes tombolo off one of the clusters that hack/kind makes, and installs it there
// again with the Helm chart, in another namespace. It is the last test on these clusters:
// `make e2e-kind` runs it. What Helm does to objects is tested with hack/chart.
package helm

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/test/harness/install"
	"github.com/tombolo-net/tombolo/test/harness/shell"
)

const (
	cluster = "west"
	release = "tombolo"
	first   = "tombolo-system" // where hack/kind has installed tombolo
	second  = "elsewhere"      // where Helm installs it
)

// A member is installed by Helm, upgraded, rolled back and uninstalled. Requests to another cluster
// succeed all the while, and in the end its nodes are as they were before.
func TestHelm(t *testing.T) {
	sh, err := shell.New()
	if err != nil {
		t.Fatal(err)
	}
	h := &host{t: t, Shell: sh}
	h.helm = h.run("../../../hack/tool.sh", "helm4")
	chart := filepath.Join(t.TempDir(), "tombolo")
	h.run("go", "-C", "../../..", "run", "-buildvcs=false", "./hack/chart", "-out", chart, "-version", "v1.2.3", "-image", "tombolo-net/tombolo:dev")

	secret, set := h.membership()
	h.leave(first)
	h.kubectl("delete", "--wait", "--timeout=120s", "-k", "../../../hack/kind/member")
	bare := h.traces()

	h.run(h.helm, "lint", "--strict", chart)
	h.release("install", chart, "--create-namespace", "--set", "gateway.userspaceWireguard=true")
	h.join(secret, set)
	h.deploy()
	traffic := h.ask()
	h.release("upgrade", chart, "--reuse-values", "--wait", "--timeout", "120s", "--set", "crds.keep=false",
		"--set", "operator.resources.requests.memory=65Mi", "--set", "gateway.resources.requests.memory=193Mi",
		"--set", "dataplane.resources.requests.memory=49Mi")
	h.requests("65Mi 193Mi 49Mi")
	h.release("rollback", "1", "--wait", "--timeout", "120s")
	h.requests("64Mi 192Mi 48Mi")
	traffic()

	h.release("upgrade", chart, "--reuse-values", "--set", "crds.keep=false")
	h.leave(second)
	h.release("uninstall", "--wait", "--timeout", "120s")
	if diff := cmp.Diff(bare, h.traces()); diff != "" {
		t.Errorf("what the cluster and its nodes have after helm uninstall (-before +after):\n%s", diff)
	}
}

// host is where a person types commands. A command that fails ends the test.
type host struct {
	shell.Shell
	t    *testing.T
	helm string
}

func (h *host) run(name string, args ...string) string {
	h.t.Helper()
	out, err := shell.Run(h.t.Context(), "", name, args...)
	if err != nil {
		h.t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

func (h *host) kubectl(args ...string) string {
	h.t.Helper()
	return h.run("kubectl", append([]string{"--context", cluster}, args...)...)
}

// release runs Helm on the release.
func (h *host) release(verb string, args ...string) {
	h.t.Helper()
	begun := time.Now()
	h.run(h.helm, slices.Concat([]string{"--kube-context", cluster, "--namespace", second, verb, release}, args)...)
	h.t.Logf("helm %s: %.1f s", verb, time.Since(begun).Seconds())
}

// membership is what the member's admin has made: the hub's credentials and the ClusterSet.
func (h *host) membership() (corev1.Secret, v1alpha1.ClusterSet) {
	h.t.Helper()
	var secret corev1.Secret
	var set v1alpha1.ClusterSet
	for object, into := range map[string]any{"secret/tombolo-hub": &secret, "clusterset/default": &set} {
		if err := json.Unmarshal([]byte(h.kubectl("--namespace", first, "get", object, "--output", "json")), into); err != nil {
			h.t.Fatal(err)
		}
	}
	secret.ObjectMeta = metav1.ObjectMeta{Name: secret.Name, Namespace: second}
	set.ObjectMeta = metav1.ObjectMeta{Name: set.Name}
	set.Status = v1alpha1.ClusterSetStatus{}
	return secret, set
}

// join makes the cluster a member again, and waits until it reaches the other one.
func (h *host) join(objects ...any) {
	h.t.Helper()
	for _, object := range objects {
		text, err := json.Marshal(object)
		if err != nil {
			h.t.Fatal(err)
		}
		if err := h.Apply(h.t.Context(), cluster, string(text)); err != nil {
			h.t.Fatal(err)
		}
	}
	h.kubectl("--namespace", "kube-system", "wait", install.CorefileChanged, "--timeout=120s", "configmap/coredns")
	h.kubectl("--namespace", "kube-system", "rollout", "restart", "deployment/coredns")
	h.kubectl("--namespace", "kube-system", "rollout", "status", "--timeout=120s", "deployment/coredns")
	h.kubectl("wait", "--for=condition=DNSReady", "--timeout=60s", "clusterset/default")
	h.kubectl("wait", "--for=create", "--timeout=60s", "remotecluster/east")
	h.kubectl("wait", "--for=condition=Reachable", "--timeout=120s", "remotecluster/east")
}

// leave does what docs/install.md says of the time before the manifests are deleted.
func (h *host) leave(namespace string) {
	h.t.Helper()
	h.kubectl("delete", "clusterset", "default")
	h.kubectl("wait", "--for=delete", "--timeout=60s", "clusterrolebinding/tombolo-coredns-managed")
	for _, agent := range []string{"gateway", "dataplane"} {
		pods := h.kubectl("--namespace", namespace, "get", "pods", "--selector", "app.kubernetes.io/name=tombolo-"+agent, "--output", "name")
		for _, pod := range strings.Fields(pods) {
			h.kubectl("--namespace", namespace, "exec", pod, "--", "/tombolo", agent, "--cleanup")
		}
	}
}

// requests wants the pods to request so much memory: of operator, gateway and dataplane.
func (h *host) requests(want string) {
	h.t.Helper()
	var have []string
	for _, part := range []string{"operator", "gateway", "dataplane"} {
		out := h.kubectl("--namespace", second, "get", "pods", "--field-selector", "status.phase=Running",
			"--selector", "app.kubernetes.io/name=tombolo-"+part,
			"--output", `go-template={{range .items}}{{if not .metadata.deletionTimestamp}}{{(index .spec.containers 0).resources.requests.memory}} {{end}}{{end}}`)
		have = append(have, slices.Compact(strings.Fields(out))...)
	}
	if got := strings.Join(have, " "); got != want {
		h.t.Errorf("the pods request %s, want %s", got, want)
	}
}

// traces is what tombolo could leave: objects in the API, and on each node links, rules, routes and
// tables of nftables.
func (h *host) traces() map[string]string {
	h.t.Helper()
	all := map[string]string{
		"CRDs and roles": h.kubectl("get", "crds,clusterroles,clusterrolebindings,roles,rolebindings", "--all-namespaces", "--output", "name"),
		"policies":       h.kubectl("get", "validatingadmissionpolicies,validatingadmissionpolicybindings", "--output", "name"),
		"Corefile":       h.kubectl("--namespace", "kube-system", "get", "configmap", "coredns", "--output", "jsonpath={.data}"),
	}
	nodes, err := h.Nodes(h.t.Context(), cluster, "")
	if err != nil {
		h.t.Fatal(err)
	}
	for _, node := range nodes {
		out, err := h.OnNode(h.t.Context(), node, "sh", "-e", "-c", `ip -brief link | grep -Ev '^(veth|cali)' | cut -d ' ' -f 1; ip rule; ip -6 rule
			ip route show table all | grep -Ev 'dev (veth|cali)' | sed 's/ linkdown//'; nft list tables; nft list ruleset | grep tombolo || true`)
		if err != nil {
			h.t.Fatal(err)
		}
		all[node] = out
	}
	return all
}
