//go:build e2e

package hostile

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/test/harness/shell"
)

const hubNamespace = v1alpha1.DefaultHubNamespace

// thief is west's credential on the hub, which its operator keeps in a Secret.
func (s *site) thief(t *testing.T) account {
	t.Helper()
	secret := func(key string) string {
		data, err := base64.StdEncoding.DecodeString(s.get(t, attacker, "{.data."+key+"}", "-n", "tombolo-system", "secret", "tombolo-hub"))
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	return newAccount(t, "hub", secret("token"), secret("namespace"))
}

const notYours, notNamed, noRight = "writes only objects of its own", "names its objects on the hub after its cluster ID", "cannot"

// thefts are what west tries on the hub and what the hub refuses.
func thefts(east map[string]string) []try {
	apply := []string{"apply", "--server-side", "--force-conflicts", "-f", "-"}
	patch := func(kind, name, patch string) []string {
		return []string{"patch", kind, name, "--type=merge", "-p", patch}
	}
	slice := func(label, address string) string {
		return fmt.Sprintf(`{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4, endpoints: [{addresses: ["%s"]}],
  metadata: {name: west.evil, labels: {multicluster.kubernetes.io/source-cluster: west, clusterset.tombolo.dev/namespace: hostile, %s: open}}}`, address, label)
	}
	const serviceName = "multicluster.kubernetes.io/service-name"
	return []try{
		{"an export in east's name", exportedService("east", "hostile", "evil", "ClusterSetIP"), apply, "may write only objects with"},
		{"an export of its own under east's name", strings.Replace(exportedService("west", "hostile", "evil", "ClusterSetIP"), "name: west.", "name: east.", 1), apply, notNamed},
		{"a change of east's export", "", patch("exportedservice", east["exportedservices"], `{"spec":{"ports":[]}}`), notYours},
		{"the deletion of east's export", "", []string{"delete", "exportedservice", east["exportedservices"]}, notYours},
		{"the change of east's endpoints", "", patch("endpointslice", east["endpointslices"], `{"endpoints":[]}`), notYours},
		{"the deletion of east's endpoints", "", []string{"delete", "endpointslice", east["endpointslices"]}, notYours},
		{"a key of its own for east's gateway", "", patch("gatewaynode", east["gatewaynodes"], `{"spec":{"publicKey":"`+otherKey+`"}}`), notYours},
		{"the deletion of east's gateway", "", []string{"delete", "gatewaynode", east["gatewaynodes"]}, notYours},
		{"a lane for east's gateway", "", append(patch("gatewaynode", east["gatewaynodes"], `{"status":{"lane":9}}`), "--subresource=status"), notYours},
		{"the end of east's heartbeat", "", []string{"delete", "lease", "east.heartbeat"}, notYours},
		{"a count of its own for east's heartbeat", "", patch("lease", "east.heartbeat", `{"metadata":{"annotations":{"clusterset.tombolo.dev/published-count":"0"}}}`), notYours},
		{"east's objects as its own", "", []string{"label", "--overwrite", "gatewaynode", east["gatewaynodes"], "multicluster.kubernetes.io/source-cluster=west"}, notYours},
		{"more CIDRs for itself", "", patch("member", "west", `{"spec":{"cidrs":["0.0.0.0/0"]}}`), noRight},
		{"the removal of east", "", patch("member", "east", `{"spec":{"removed":true}}`), noRight},
		{"the deletion of east's Member", "", []string{"delete", "member", "east"}, noRight},
		{"a Member of its own", "{apiVersion: clusterset.tombolo.dev/v1alpha1, kind: Member, metadata: {name: evil}, spec: {index: 9, cidrs: [10.9.0.0/16]}}", apply, noRight},
		{"an endpoint in east", slice(serviceName, "10.1.0.5"), apply, "outside what cluster"},
		{"an endpoint at the metadata address", slice(serviceName, "169.254.169.254"), apply, "link-local"},
		{"an endpoint of a Service of the hub's", strings.Replace(slice(serviceName, "10.2.0.5"), "labels: {", "labels: {kubernetes.io/service-name: kubernetes, ", 1), apply, "part of a Service of the hub's own cluster"},
		{"the hub's Secrets", "", []string{"get", "secrets"}, noRight},
		{"a token of east's account", "", []string{"create", "token", "member-east"}, noRight},
		{"east's account", "", []string{"get", "members", "--as=system:serviceaccount:" + hubNamespace + ":member-east"}, noRight},
		{"rights for itself", "", []string{"create", "rolebinding", "evil", "--clusterrole=cluster-admin", "--serviceaccount=" + hubNamespace + ":member-west"}, noRight},
		{"an export from a system namespace", exportedService("west", "kube-system", "kube-dns", "ClusterSetIP"), apply, "may export only from"},
		{"an export from another's namespace", exportedService("west", "shop", "evil", "ClusterSetIP"), apply, "may export only from"},
		{"a token without end", "", []string{"create", "token", "member-west", "--duration=87600h"}, "at most"},
		{"the identity of its own ID", "", []string{"delete", "lease", "west.identity"}, "may not change or delete it"},
		{"another account of the hub", "", []string{"create", "serviceaccount", "evil"}, noRight},
		{"a pod on the hub", "", []string{"run", "evil", "--image=busybox"}, noRight},
		{"another namespace of the hub", "", []string{"get", "configmaps", "--namespace=kube-system"}, noRight},
	}
}

// otherKey is a public key that nobody has.
const otherKey = "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE="

// exportedService is what a cluster publishes to export a Service of this type, long ago.
func exportedService(cluster, ns, name, kind string) string {
	return fmt.Sprintf(`{apiVersion: clusterset.tombolo.dev/v1alpha1, kind: ExportedService,
  metadata: {name: %s, labels: {multicluster.kubernetes.io/source-cluster: %s}},
  spec: {namespace: %s, name: %s, type: %s, exportedAt: "2001-01-01T00:00:00Z", ipFamilies: [IPv4], ports: [{name: http, port: 81, protocol: TCP}]}}`,
		clusterset.HubName(v1alpha1.ClusterID(cluster), ns, name), cluster, ns, name, kind)
}

// hub: with west's credential nobody changes on the hub what is another's.
func (s *site) hub(t *testing.T) {
	thief := s.thief(t)
	if _, err := thief.kubectl(t, "", "get", "members"); err != nil {
		t.Fatalf("the credential does not work, so the test proves nothing: %v", err)
	}
	s.member(t, `{"spec":{"namespaces":["hostile"]}}`)
	defer s.member(t, `{"spec":{"namespaces":null}}`)
	// Of a namespace that west may export from, or the hub might name that as the reason first.
	east := map[string]string{"exportedservices": clusterset.HubName(victim, namespace, "open")}
	for kind, more := range map[string]string{"endpointslices": "," + v1alpha1.LabelNamespace + "=" + namespace, "gatewaynodes": ""} {
		east[kind] = s.get(t, "hub", "{.items[0].metadata.name}", kind, "-n", hubNamespace, "-l", v1alpha1.LabelSourceCluster+"="+victim+more)
	}
	s.unchanged(t, "west's thefts", func() { refused(t, thief, thefts(east)) })
}

// member patches west's Member, as the clusterset's admin.
func (s *site) member(t *testing.T, patch string) {
	t.Helper()
	if _, err := s.Kubectl(t.Context(), "hub", "-n", hubNamespace, "patch", "member", attacker, "--type=merge", "-p", patch); err != nil {
		t.Error(err)
	}
}

// removed: once the clusterset's admin has removed west, its credential writes nothing, and east has nothing of west's.
func (s *site) removed(t *testing.T) {
	thief := s.thief(t)
	s.stopOperator(t)
	s.member(t, `{"spec":{"removed":true}}`)
	defer s.member(t, `{"spec":{"removed":false}}`)
	s.eventually(t, "the hub takes nothing from west", func() bool {
		_, err := thief.kubectl(t, exportedService("west", namespace, "evil", "ClusterSetIP"), "create", "-f", "-")
		return err != nil && strings.Contains(err.Error(), "spec.removed")
	})
	s.eventually(t, "east has nothing of west's", func() bool {
		imports, err := s.Kubectl(t.Context(), victim, "-n", namespace, "get", "serviceimports.multicluster.x-k8s.io", "--output", "jsonpath={.items[*].status.clusters[*].cluster}")
		return err == nil && !strings.Contains(imports, attacker) && s.onNode(t, s.gateway[victim], "wg show all peers") == ""
	})
}

// unchanged asserts that something leaves what east has of other clusters as it is.
func (s *site) unchanged(t *testing.T, what string, do func()) {
	t.Helper()
	before := s.state(t)
	do()
	if diff := cmp.Diff(before, s.state(t)); diff != "" {
		t.Errorf("%s: east has changed (-before +after):\n%s", what, diff)
	}
}

var firstShown = regexp.MustCompile(`"clusterset.tombolo.dev/exports-first-shown":"[^"]*"`)

// state is what east's API server and kernels have of other clusters, by what it is: imports and their
// endpoints, tunnels, and routes.
func (s *site) state(t *testing.T) map[string]string {
	t.Helper()
	state := map[string]string{}
	kubectl := func(what, path string, args ...string) {
		out, err := s.Kubectl(t.Context(), victim, append(append([]string{"get"}, args...), "--output", "jsonpath={range .items[*]}"+path+`{"\n"}{end}`)...)
		if err != nil {
			t.Fatal(err)
		}
		var lines []string
		for line := range strings.Lines(out) {
			if !strings.HasPrefix(line, tenantNamespace) { // what the tenant writes there is his own
				lines = append(lines, line)
			}
		}
		state[what] = firstShown.ReplaceAllString(strings.Join(lines, ""), "")
	}
	// How old west's exports are is remembered, whatever becomes of them.
	kubectl("imports", "{.metadata.namespace} {.metadata.name} {.metadata.labels} {.metadata.annotations} {.spec}", "serviceimports.multicluster.x-k8s.io", "-A")
	kubectl("endpoints", "{.metadata.namespace} {.metadata.name} {.metadata.labels} {.endpoints} {.ports}", "endpointslices", "-A", "-l", v1alpha1.LabelSourceCluster)
	kubectl("clusters", "{.metadata.name} {.spec}", "remoteclusters")
	kubectl("namespaces", "{.metadata.name}", "namespaces")
	for _, node := range []string{s.gateway[victim], s.worker[victim]} {
		for _, command := range []string{"ip rule", "ip route show table all proto 147", "ip route show table all proto 148"} {
			state[node+": "+command] = s.onNode(t, node, command)
		}
	}
	for _, command := range []string{"wg show all peers", "wg show all endpoints", "wg show all allowed-ips"} {
		state[command] = s.onNode(t, s.gateway[victim], command)
	}
	return state
}

func (s *site) onNode(t *testing.T, node, command string) string {
	t.Helper()
	out, err := s.OnNode(t.Context(), node, strings.Fields(command)...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// lie is something that west publishes as its own, which the hub takes, and what east says of it: a part of
// the condition ContentAccepted of west. Empty: it is no fault.
type lie struct{ name, manifest, told string }

// evilGateway is a second gateway of west's.
func evilGateway(key, address, tunnel string) string {
	return fmt.Sprintf(`{apiVersion: clusterset.tombolo.dev/v1alpha1, kind: GatewayNode,
  metadata: {name: west.evil, labels: {multicluster.kubernetes.io/source-cluster: west}},
  spec: {nodeName: evil, publicKey: "%s", endpoints: [{address: "%s", port: 51820}], tunnelAddresses: ["%s"]}}`, key, address, tunnel)
}

// secondTunnel is the tunnel's address of the lane of an honest second gateway.
const secondTunnel = "245.0.32.1"

func (s *site) lies(t *testing.T) []lie {
	t.Helper()
	east := s.get(t, victim, "{.spec.publicKey}", "-n", "tombolo-system", "gatewaynode", s.gateway[victim])
	const lowOrder = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
	all := []lie{
		{"east's own key", evilGateway(east, familyOf(s.open).away, secondTunnel), "key"},
		{"a key of low order", evilGateway(lowOrder, familyOf(s.open).away, secondTunnel), "low order"},
		{"a gateway at a loopback address", evilGateway(otherKey, "127.0.0.1", secondTunnel), "127.0.0.1"},
		{"a gateway at the metadata address", evilGateway(otherKey, "169.254.169.254", secondTunnel), "169.254.169.254"},
		{"an export under a name that is not its own", strings.Replace(exportedService("west", namespace, "open", "ClusterSetIP"), clusterset.HubName("west", namespace, "open"), "west.evil", 1), "west.evil"},
		{"an older export that turns east's Service around", exportedService("west", namespace, "open", "Headless"), ""},
		{"an older export with another port", exportedService("west", namespace, "open", "ClusterSetIP"), ""},
		{"an export into a namespace that is not there", exportedService("west", "evil", "evil", "ClusterSetIP"), ""},
	}
	for i := range all { // of another family than east's Service has, an export would add that one
		all[i].manifest = strings.Replace(all[i].manifest, "ipFamilies: [IPv4]", "ipFamilies: ["+familyOf(s.open).addressType+"]", 1)
	}
	return all
}

// tell publishes something in west's name, and a lane if it is a gateway.
func tell(t *testing.T, thief account, manifest string) {
	t.Helper()
	_, err := thief.kubectl(t, manifest, "apply", "--server-side", "-f", "-")
	if err == nil && strings.Contains(manifest, "GatewayNode") {
		_, err = thief.kubectl(t, "", "patch", "gatewaynode", "west.evil", "--subresource=status", "--type=merge", "-p", `{"status":{"lane":1}}`)
	}
	if err != nil {
		t.Error(err)
	}
}

// lying: what west publishes in its own name, and the hub takes, does not harm east.
func (s *site) lying(t *testing.T) {
	thief := s.thief(t)
	s.stopOperator(t)
	state := s.state(t)
	honest := lie{"an honest second gateway", evilGateway(otherKey, familyOf(s.open).away, secondTunnel), ""}
	tell(t, thief, honest.manifest)
	s.eventually(t, honest.name+" is used", func() bool { return strings.Contains(s.onNode(t, s.gateway[victim], "wg show all peers"), otherKey) })
	s.takenBack(t, thief, honest)
	for _, one := range s.lies(t) {
		tell(t, thief, one.manifest)
		s.eventually(t, one.name+": east tells of "+one.told, func() bool {
			told, err := s.Kubectl(t.Context(), victim, "get", "remotecluster", attacker, "--output", `jsonpath={.status.conditions[?(@.type=="ContentAccepted")]}`)
			return err == nil && strings.Contains(told, one.told) && (one.told == "" || strings.Contains(told, `"status":"False"`))
		})
		time.Sleep(time.Second) // for what it does in spite of that
		if diff := cmp.Diff(state, s.state(t)); diff != "" {
			t.Errorf("%s: east has changed (-before +after):\n%s", one.name, diff)
		}
		s.takenBack(t, thief, one)
	}
}

// takenBack deletes what was told, and returns when east has forgotten it.
func (s *site) takenBack(t *testing.T, thief account, one lie) {
	t.Helper()
	if _, err := thief.kubectl(t, one.manifest, "delete", "-f", "-"); err != nil {
		t.Error(err)
	}
	s.eventually(t, one.name+" is forgotten", func() bool {
		accepted, err := s.Kubectl(t.Context(), victim, "get", "remotecluster", attacker, "--output", `jsonpath={.status.conditions[?(@.type=="ContentAccepted")].status}`)
		return err == nil && accepted == "True" && !strings.Contains(s.onNode(t, s.gateway[victim], "wg show all peers"), otherKey)
	})
}

// stopOperator stops west's operator until the test ends: it would delete what it has not written.
func (s *site) stopOperator(t *testing.T) {
	t.Helper()
	scale := func(replicas string) {
		if _, err := s.Kubectl(context.WithoutCancel(t.Context()), attacker, "-n", "tombolo-system", "scale", "deployment", "tombolo-operator", "--replicas="+replicas); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(func() { scale("1") })
	scale("0")
	if _, err := s.Kubectl(t.Context(), attacker, "-n", "tombolo-system", "wait", "--for=delete", "pod", "-l", "app.kubernetes.io/component=operator", "--timeout=60s"); err != nil {
		t.Fatal(err)
	}
}

// eventually asserts that something becomes true.
func (s *site) eventually(t *testing.T, what string, check func() bool) {
	t.Helper()
	if _, err := shell.Eventually(t.Context(), 30*time.Second, func(context.Context) (string, error) {
		if !check() {
			return "", errors.New("it is not so")
		}
		return "", nil
	}); err != nil {
		t.Errorf("%s: %v", what, err)
	}
}
