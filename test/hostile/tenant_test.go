//go:build e2e

package hostile

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/tombolo-net/tombolo/test/harness/loadpod"
)

// tenantNamespace is where the tenant may do what users of the Multi-Cluster Services API can want, and more.
const tenantNamespace = "hostile-tenant"

const tenant = `
apiVersion: v1
kind: ServiceAccount
metadata: {name: tenant, namespace: hostile-tenant}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: tenant, namespace: hostile-tenant}
rules:
- {apiGroups: ["", discovery.k8s.io, multicluster.x-k8s.io, clusterset.tombolo.dev], resources: ["*"], verbs: ["*"]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: tenant, namespace: hostile-tenant}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: tenant}
subjects: [{kind: ServiceAccount, name: tenant, namespace: hostile-tenant}]
---
`

// tenants: who may write everything in a namespace of east's takes no clusterset IP and no flows of another
// namespace's, and changes nothing that tombolo itself has written in his own.
func (s *site) tenants(t *testing.T) {
	manifest := loadpod.Namespace(tenantNamespace) + tenant + strings.ReplaceAll(loadpod.Service(tenantNamespace, "mine", "mine"), "app: mine", "app: nobody")
	if err := s.Apply(t.Context(), victim, manifest); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = s.Kubectl(context.WithoutCancel(t.Context()), victim, "delete", "namespace", tenantNamespace, "--wait=false")
	})
	s.eventually(t, "the tenant's own import", func() bool {
		out, err := s.Kubectl(t.Context(), victim, "-n", tenantNamespace, "get", "serviceimports.multicluster.x-k8s.io", "mine", "--output", "jsonpath={.spec.ips}")
		return err == nil && out != ""
	})
	token, err := s.Kubectl(t.Context(), victim, "-n", tenantNamespace, "create", "token", "tenant")
	if err != nil {
		t.Fatal(err)
	}
	account := newAccount(t, victim, strings.TrimSpace(token), tenantNamespace)
	s.unchanged(t, "the tenant's attacks", func() {
		refused(t, account, s.encroachments())
		for _, own := range s.claims() {
			if _, err := account.kubectl(t, own, "apply", "-f", "-"); err != nil {
				t.Error(err)
			}
		}
	})
}

// encroachments are what the tenant may not do to tombolo's objects in his namespace.
func (s *site) encroachments() []try {
	patch := func(kind, name, patch string, more ...string) []string {
		return append([]string{"patch", kind, name, "--type=merge", "-p", patch}, more...)
	}
	const imports, written, labelled = "serviceimports.multicluster.x-k8s.io", "tombolo writes", "on what"
	managed := "{clusterset.tombolo.dev/managed-by: tombolo.dev}"
	return []try{
		{"another's clusterset IP for his import", "", patch(imports, "mine", fmt.Sprintf(`{"spec":{"ips":["%s"]}}`, s.vip)), written},
		{"another cluster for his import", "", patch(imports, "mine", `{"status":{"clusters":[{"cluster":"west"}]}}`, "--subresource=status"), written},
		{"his import as nobody's", "", []string{"label", imports, "mine", "clusterset.tombolo.dev/managed-by-"}, labelled},
		{"an import as if tombolo had made it", fmt.Sprintf(`{apiVersion: multicluster.x-k8s.io/v1beta1, kind: ServiceImport, metadata: {name: evil, labels: %s},
  spec: {type: ClusterSetIP, ips: ["%s"], ports: [{name: http, port: 80, protocol: TCP}]}}`, managed, s.vip), []string{"create", "-f", "-"}, labelled},
		{"endpoints as if tombolo had imported them", fmt.Sprintf(`{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: %s, endpoints: [{addresses: ["%s"]}],
  metadata: {name: evil, labels: {endpointslice.kubernetes.io/managed-by: tombolo.dev, multicluster.kubernetes.io/service-name: mine, multicluster.kubernetes.io/source-cluster: east}}}`, familyOf(s.closed).addressType, s.closed), []string{"create", "-f", "-"}, labelled},
	}
}

// claims are objects that are the tenant's to make, and have no effect on others.
func (s *site) claims() []string {
	return []string{
		fmt.Sprintf(`{apiVersion: multicluster.x-k8s.io/v1beta1, kind: ServiceImport, metadata: {name: claim},
  spec: {type: ClusterSetIP, ips: ["%s"], ports: [{name: http, port: 80, protocol: TCP}]}}`, s.vip),
		fmt.Sprintf(`{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: %s, endpoints: [{addresses: ["%s"]}], ports: [{name: http, port: 80, protocol: TCP}],
  metadata: {name: claim, labels: {multicluster.kubernetes.io/service-name: open}}}`, familyOf(s.closed).addressType, s.closed),
		`{apiVersion: multicluster.x-k8s.io/v1beta1, kind: ServiceExport, metadata: {name: open}}`,
		`{apiVersion: clusterset.tombolo.dev/v1alpha1, kind: TrafficPolicy, metadata: {name: claim}, spec: {targetRef: {name: open}, failover: [{clusters: [west]}]}}`,
	}
}
