//go:build e2e

package hostile

import (
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// takenNode: whoever took over a node that is no gateway does not become one, and changes nothing of other
// nodes, with the kubelet's credential and with the tokens that lie on the node.
func (s *site) takenNode(t *testing.T) {
	node, other := s.worker[victim], s.gateway[victim]
	kubelet := []string{"--as=system:node:" + node, "--as-group=system:nodes", "--as-group=system:authenticated"}
	annotate := func(key string) []string {
		return []string{"annotate", "--overwrite", "node", node, "clusterset.tombolo.dev/" + key}
	}
	const byItself, forbidden = "a node may not do that by itself", "forbidden"
	dataplane := newAccount(t, victim, s.tokenOf(t, node, "tombolo-dataplane"), "tombolo-system")
	label := []string{"label", "node", node, gatewayLabel}
	statuses := []struct{ name, node, patch string }{
		{"the label of gateways, through the status", node, `{"metadata":{"labels":{"clusterset.tombolo.dev/gateway":"true"}}}`},
		{"another node's transit address, through the status", node, `{"metadata":{"annotations":{"clusterset.tombolo.dev/transit-address":"245.0.16.64"}}}`},
		{"another node's condition", other, `{"status":{"conditions":[{"type":"clusterset.tombolo.dev/Dataplane","status":"True","reason":"Evil"}]}}`},
		{"a condition of the kubelet's", node, `{"status":{"conditions":[{"type":"Ready","status":"False","reason":"Evil"}]}}`},
		{"an address for its node", node, `{"status":{"addresses":[{"type":"InternalIP","address":"192.0.2.1"}]}}`},
	}
	s.unchanged(t, "the node's attacks", func() {
		for _, one := range statuses {
			if err := dataplane.patchStatus(t, one.node, one.patch); !apierrors.IsForbidden(err) {
				t.Errorf("%s, by the dataplane: %v, want it forbidden", one.name, err)
			}
		}
		for _, one := range []try{
			{"the label of gateways", "", label, byItself},
			{"another node's transit address", "", annotate("transit-address=245.0.16.64"), byItself},
			{"addresses for its gateway", "", annotate("gateway-endpoints=192.0.2.1"), byItself},
			{"the label of another node", "", []string{"label", "node", other, "clusterset.tombolo.dev/gateway-"}, forbidden},
			{"a GatewayNode", "", []string{"delete", "gatewaynode", "-n", "tombolo-system", other}, forbidden},
			{"a token of a gateway's", "", []string{"create", "token", "-n", "tombolo-system", "tombolo-gateway"}, forbidden},
		} {
			if out, err := s.Kubectl(t.Context(), victim, append(slices.Clone(kubelet), one.args...)...); err == nil || !strings.Contains(err.Error(), one.refusal) {
				t.Errorf("%s, by the kubelet: %s %v, want it refused with %q", one.name, out, err, one.refusal)
			}
		}
		refused(t, dataplane, []try{
			{"the label of gateways, by the dataplane", "", label, forbidden},
			{"the operator's Secret", "", []string{"get", "secret", "tombolo-hub"}, forbidden},
			{"the keys of gateways", "", []string{"get", "secrets"}, forbidden},
			{"an import", "", []string{"delete", "serviceimports.multicluster.x-k8s.io", "-n", namespace, "open"}, forbidden},
			{"endpoints", "", []string{"delete", "endpointslices", "-n", namespace, "--all"}, forbidden},
			{"the ClusterSet", "", []string{"patch", "clusterset", "default", "--type=merge", "-p", `{"spec":{"gateway":{"ingress":"Any"}}}`}, forbidden},
			{"a RemoteCluster", "", []string{"delete", "remotecluster", attacker}, forbidden},
		})
	})
}

// tokenOf is the token of an account's pod on a node, as the kubelet keeps it there.
func (s *site) tokenOf(t *testing.T, node, account string) string {
	t.Helper()
	out, err := s.OnNode(t.Context(), node, "sh", "-c", `cat /var/lib/kubelet/pods/*/volumes/kubernetes.io~projected/*/token 2>/dev/null | sed 's/ey[A-Za-z0-9_-]*\.ey/\n&/g'`)
	if out == "" {
		t.Fatalf("no tokens on %s: %v", node, err)
	}
	for token := range strings.FieldsSeq(out) {
		if strings.Contains(claims(token), ":"+account+`"`) {
			return token
		}
	}
	t.Fatalf("no token of %s on %s", account, node)
	return ""
}

// claims is what a token says of itself (RFC 7519), unverified.
func claims(token string) string {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return ""
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return ""
	}
	return string(text)
}
