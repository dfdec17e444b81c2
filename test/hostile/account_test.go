//go:build e2e

package hostile

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/tombolo-net/tombolo/test/harness/shell"
)

// account is a kubeconfig with one account's token.
type account string

// newAccount is the account with the token, on the API server of a context. The token is in no flag, since
// errors show flags.
func newAccount(t *testing.T, context, token, namespace string) account {
	t.Helper()
	cluster := func(field string) string {
		out, err := shell.Run(t.Context(), "", "kubectl", "config", "view", "--raw", "--output", fmt.Sprintf(`jsonpath={.clusters[?(@.name==%q)].cluster.%s}`, context, field))
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	file := filepath.Join(t.TempDir(), "kubeconfig")
	config := fmt.Appendf(nil, `{apiVersion: v1, kind: Config, current-context: it,
contexts: [{name: it, context: {cluster: it, user: it, namespace: %s}}],
clusters: [{name: it, cluster: {server: %q, certificate-authority-data: %s}}],
users: [{name: it, user: {token: %q}}]}`, namespace, cluster("server"), cluster("certificate-authority-data"), token)
	if err := os.WriteFile(file, config, 0o600); err != nil {
		t.Fatal(err)
	}
	return account(file)
}

func (a account) kubectl(t *testing.T, stdin string, args ...string) (string, error) {
	t.Helper()
	return shell.Run(t.Context(), stdin, "kubectl", append([]string{"--kubeconfig=" + string(a)}, args...)...)
}

// patchStatus patches the status of a Node, without reading it as kubectl would.
func (a account) patchStatus(t *testing.T, node, patch string) error {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", string(a))
	if err != nil {
		t.Fatal(err)
	}
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	_, err = clients.CoreV1().Nodes().PatchStatus(t.Context(), node, []byte(patch))
	return err
}

// try is something that somebody tries, and what the API server answers to it.
type try struct {
	name    string
	stdin   string
	args    []string
	refusal string
}

// refused asserts that the API server refuses each try, and says why.
func refused(t *testing.T, by account, all []try) {
	t.Helper()
	t.Logf("%d tries", len(all))
	for _, one := range all {
		if _, err := by.kubectl(t, one.stdin, one.args...); err == nil || !strings.Contains(err.Error(), one.refusal) {
			t.Errorf("%s: %v, want it refused with %q", one.name, err, one.refusal)
		}
	}
}
