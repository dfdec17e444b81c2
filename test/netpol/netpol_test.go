//go:build e2e

package netpol

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/tombolo-net/tombolo/test/harness/loadpod"
	"github.com/tombolo-net/tombolo/test/harness/shell"
)

// within is how long a step may take on a busy machine.
const within = 2 * time.Minute

// way is the direction of the requests: from is the cluster of the clients, to that of the servers.
type way struct {
	shell.Shell
	from, to  string
	namespace string
	// vip is a clusterset IP of the servers.
	vip netip.Addr
	// pods are the addresses of pods: of the servers "worker" and "gateway", which are on such nodes, of "local" beside
	// them, and of the clients "friend" and "stranger", which are on a worker and a gateway of their cluster.
	pods map[string]netip.Addr
}

// servers are the pods that are exported, each by a Service with a clusterset IP and by a headless one.
func servers() []string { return []string{"worker", "gateway"} }

const headless = `
apiVersion: v1
kind: Service
metadata: {name: pods-%[1]s, namespace: %[2]s}
spec:
  clusterIP: None
  selector: {app: %[1]s}
  ports: [{name: http, port: 8080}]
---
apiVersion: multicluster.x-k8s.io/v1beta1
kind: ServiceExport
metadata: {name: pods-%[1]s, namespace: %[2]s}
---
`

// TestNetworkPolicies: NetworkPolicies with ipBlocks decide who reaches pods of another cluster, on the side of the server
// and on that of the client, by clusterset IP and by name of a headless Service. Both clusters serve and ask.
func TestNetworkPolicies(t *testing.T) {
	sh, err := shell.New()
	if err != nil {
		t.Fatal(err)
	}
	for _, cluster := range []string{"east", "west"} {
		if !enforced(t, sh, cluster) {
			startEngine(t, sh, cluster)
		}
	}
	for _, w := range []way{{from: "west", to: "east"}, {from: "east", to: "west"}} {
		t.Run(w.from+" to "+w.to, func(t *testing.T) {
			t.Parallel()
			w.Shell, w.namespace, w.pods = sh, "netpol-"+w.to, map[string]netip.Addr{}
			w.vip = w.deploy(t)
			w.reaches(t, "without a policy", "friend", true)
			w.reaches(t, "without a policy", "stranger", true)
			t.Run("Ingress", w.ingress)
			t.Run("Egress", w.egress)
		})
	}
}

// deploy makes pods and Services, and returns when the clients reach them: with a clusterset IP.
func (w way) deploy(t *testing.T) (vip netip.Addr) {
	t.Helper()
	ctx := t.Context()
	node := func(cluster, label string) string {
		nodes, err := w.Nodes(ctx, cluster, label)
		if err != nil {
			t.Fatal(err)
		}
		return nodes[0]
	}
	const gateway, worker = "clusterset.tombolo.dev/gateway=true", "!clusterset.tombolo.dev/gateway"
	there := map[string]string{"worker": worker, "gateway": gateway, "local": worker}
	here := map[string]string{"friend": worker, "stranger": gateway}
	for cluster, pods := range map[string]map[string]string{w.to: there, w.from: here} {
		manifest := loadpod.Namespace(w.namespace)
		for name, label := range pods {
			manifest += loadpod.Pod{Namespace: w.namespace, Name: name, Node: node(cluster, label)}.Manifest()
		}
		if cluster == w.to {
			for _, server := range servers() {
				manifest += loadpod.Service(w.namespace, "web-"+server, server) + fmt.Sprintf(headless, server, w.namespace)
			}
		}
		if err := w.Apply(ctx, cluster, manifest); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if _, err := w.Kubectl(context.WithoutCancel(ctx), cluster, "delete", "namespace", w.namespace, "--timeout="+within.String()); err != nil {
				t.Error(err)
			}
		})
	}
	for cluster, pods := range map[string]map[string]string{w.to: there, w.from: here} {
		if err := loadpod.Ready(ctx, w.Shell, cluster, w.namespace, within); err != nil {
			t.Fatal(err)
		}
		for name := range pods {
			address, err := w.Kubectl(ctx, cluster, "-n", w.namespace, "get", "pod", name, "--output", "jsonpath={.status.podIP}")
			if err != nil {
				t.Fatal(err)
			}
			w.pods[name] = netip.MustParseAddr(address)
		}
	}
	for _, server := range servers() {
		ip, err := loadpod.ClusterSetIP(ctx, w.Shell, w.from, w.namespace, "web-"+server, "friend", within)
		if err != nil {
			t.Fatal(err)
		}
		vip = netip.MustParseAddr(ip)
	}
	return vip
}

// single is a block of one address.
func single(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// block is the prefix around an address: of bits4 bits, or bits6 of IPv6.
func block(a netip.Addr, bits4, bits6 int) string {
	bits := bits6
	if a.Is4() {
		bits = bits4
	}
	return netip.PrefixFrom(a, bits).Masked().String()
}

// reaches asserts that the client gets an answer from every server soon, or from none, by clusterset IP and
// by name of the headless Service.
func (w way) reaches(t *testing.T, when, client string, want bool) {
	t.Helper()
	var group sync.WaitGroup
	for _, server := range servers() {
		for _, target := range []string{"web-%s.%s.svc.clusterset.local", "pods-%s.%s.svc.clusterset.local:8080"} {
			target = fmt.Sprintf(target, server, w.namespace)
			group.Go(func() {
				if _, err := shell.Eventually(t.Context(), within, func(ctx context.Context) (string, error) {
					err := loadpod.Ask(ctx, w.Shell, w.from, w.namespace, client, target, 2)
					if (err == nil) != want {
						return "", fmt.Errorf("answered: %t, want %t, %w", err == nil, want, err)
					}
					return "", nil
				}); err != nil {
					t.Errorf("%s, %s asks %s: %v", when, client, target, err)
				}
			})
		}
	}
	group.Wait()
}

// policy applies the only NetworkPolicy of a cluster, to the pods with these values of the label app, until the test ends.
func (w way) policy(t *testing.T, cluster, apps, spec string) {
	t.Helper()
	manifest := fmt.Sprintf(`{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: only, namespace: %s},
  spec: {podSelector: {matchExpressions: [{key: app, operator: In, values: [%s]}]}, %s}}`, w.namespace, apps, spec)
	if err := w.Apply(t.Context(), cluster, manifest); err != nil {
		t.Fatal(err)
	}
}

func (w way) noPolicy(t *testing.T, cluster string) {
	t.Helper()
	if _, err := w.Kubectl(t.Context(), cluster, "-n", w.namespace, "delete", "networkpolicy", "only"); err != nil {
		t.Error(err)
	}
}

// ingress: policies in the servers' cluster.
func (w way) ingress(t *testing.T) {
	const apps = "worker, gateway"
	friend, stranger := single(w.pods["friend"]), single(w.pods["stranger"])
	w.policy(t, w.to, apps, fmt.Sprintf(`policyTypes: [Ingress], ingress: [{from: [{ipBlock: {cidr: "%s"}}]}]`, friend))
	w.reaches(t, "with an ipBlock of the friend", "stranger", false)
	w.reaches(t, "with an ipBlock of the friend", "friend", true)
	if err := loadpod.Ask(t.Context(), w.Shell, w.to, w.namespace, "local", netip.AddrPortFrom(w.pods["worker"], 8080).String(), 2); err == nil {
		t.Error("a pod of the server's cluster reaches it, though no policy allows that: is the policy enforced?")
	}
	w.policy(t, w.to, apps, fmt.Sprintf(`policyTypes: [Ingress], ingress: [{from: [{ipBlock: {cidr: "%s", except: ["%s"]}}], ports: [{port: 8080}]}]`, block(w.pods["friend"], 8, 32), friend))
	w.reaches(t, "with an exception for the friend", "friend", false)
	w.reaches(t, "with an exception for the friend", "stranger", true)
	w.policy(t, w.to, apps, fmt.Sprintf(`policyTypes: [Ingress], ingress: [{from: [{ipBlock: {cidr: "%s"}}], ports: [{port: 9}]}]`, stranger))
	w.reaches(t, "with another port only", "stranger", false)
	w.noPolicy(t, w.to)
	w.reaches(t, "without a policy again", "stranger", true)
}

// egress: policies in the clients' cluster. They speak of the address of the endpoint, not of the clusterset IP.
func (w way) egress(t *testing.T) {
	const apps, dns = "friend, stranger", "{ports: [{port: 53, protocol: UDP}]}"
	to := func(cidr string) string {
		return fmt.Sprintf("policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: %q}}]}, %s]", cidr, dns)
	}
	other := netip.MustParseAddr("2001:db8::1")
	if w.vip.Is4() {
		other = netip.MustParseAddr("192.0.2.1")
	}
	w.policy(t, w.from, apps, to(block(other, 24, 32)))
	w.reaches(t, "with another block", "friend", false)
	w.reaches(t, "with another block", "stranger", false)
	w.policy(t, w.from, apps, to(block(w.pods["worker"], 16, 56)))
	w.reaches(t, "with the block of the other cluster", "friend", true)
	w.reaches(t, "with the block of the other cluster", "stranger", true)
	w.policy(t, w.from, apps, to(block(w.vip, 16, 112)))
	w.reaches(t, "with the block of clusterset IPs", "friend", false)
	w.noPolicy(t, w.from)
	w.reaches(t, "without a policy again", "friend", true)
}
