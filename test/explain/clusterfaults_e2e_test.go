//go:build e2e

package explain

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/tombolo-net/tombolo/test/harness/install"
	"github.com/tombolo-net/tombolo/test/harness/shell"
)

// clusterFaults break what all Services need, so they are there one after the other.
func clusterFaults(s *site) []fault {
	all := []fault{
		{name: "DNS is dropped", inject: func(t *testing.T, s *site) { s.deny(t, s.client, "output", "udp dport 53") },
			hop: "dns", cluster: "west", looked: "DNS server", says: "it does not answer"},
		{name: "the agent hangs on the client's node", inject: func(t *testing.T, s *site) { s.freeze(t, s.client, "dataplane") },
			hop: "node", cluster: "west", looked: "agent on node", says: "does not answer", lab: true},
		{name: "WireGuard is cut", inject: func(t *testing.T, s *site) { s.cut(t, "west", "east", "--port", "51820-51883") },
			hop: "link", cluster: "west", looked: "RemoteCluster east", lab: true},
		{name: "one direction is cut", inject: func(t *testing.T, s *site) { s.cut(t, "east", "west", "--one-way") },
			hop: "link", cluster: "west", looked: "RemoteCluster east", lab: true},
		{name: "the gateway does not forward", inject: func(t *testing.T, s *site) { s.deny(t, s.gateway, "forward", `iifname "tombolo*"`) }, hop: "gateway", cluster: "west", looked: s.gateway},
		{name: "the other gateway does not forward", inject: func(t *testing.T, s *site) { s.deny(t, s.far, "forward", `iifname "tombolo*"`) }, hop: "filter", cluster: "east", looked: s.far},
		{name: "the Member's CIDRs are too small", inject: shrinkMember,
			hop: "filter", cluster: "east", looked: "RemoteCluster west", says: "lies outside the CIDRs"},
		{name: "the operator is away", inject: stopOperator, hop: "hub", cluster: "west", looked: "Deployment tombolo-operator", says: "none of its", warns: true},
		{name: "the hub is away", inject: stopHub, hop: "hub", looked: "ClusterSet default", says: "HubConnected", warns: true, lab: true},
		{name: "the gateway drops WireGuard in INPUT", inject: func(t *testing.T, s *site) { s.deny(t, s.gateway, "input", "udp dport 51820-51883") },
			hop: "gateway", cluster: "west", looked: "GatewayNode tombolo-system/" + s.gateway, says: "FirewallDrops", long: true},
		{name: "the node drops VXLAN in INPUT", inject: func(t *testing.T, s *site) { s.deny(t, s.client, "input", "udp dport 7473") },
			hop: "node", cluster: "west", looked: "Node " + s.client, says: "FirewallDrops", long: true},
		{name: "VXLAN is cut between node and gateway", inject: func(t *testing.T, s *site) { s.cut(t, s.client, s.gateway, "--port", "7473") },
			hop: "gateway", cluster: "west", looked: "GatewayNode tombolo-system/" + s.gateway, says: "does not answer node " + s.client, lab: true},
		{name: "large packets are lost between the clusters", inject: func(t *testing.T, s *site) {
			s.deny(t, s.gateway, "output", "udp dport 51820-51883 meta length > 1300")
		},
			hop: "link", cluster: "west", looked: "RemoteCluster east", says: "small ones arrive"},
		{name: "large packets are lost between node and gateway", inject: func(t *testing.T, s *site) { s.deny(t, s.client, "output", "udp dport 7473 meta length > 1300") },
			hop: "gateway", cluster: "west", looked: "between node " + s.client + " and gateway " + s.gateway, says: "small ones arrive"},
		{name: "the node drops what pods send", inject: func(t *testing.T, s *site) { s.deny(t, s.client, "forward", "tcp dport 8080") },
			hop: "endpoint", cluster: "west", looked: "pod explain/client", says: "its node connects to", enter: true},
		{name: "the gateway drains", inject: drain, hop: "gateway", cluster: "west", looked: "GatewayNode tombolo-system/" + s.gateway, says: "DrainRequested", warns: true},
		{name: "a Service wants the clusterset IP", inject: claim, hop: "clusterset-ip", cluster: "west", looked: "Service explain/claim", says: "spec.externalIPs"},
		{name: "the hub refuses the token", inject: spoilToken, hop: "hub", cluster: "west", looked: "ClusterSet default", says: "Unauthorized", warns: true, long: true},
		{name: "the namespace is not imported into", inject: func(t *testing.T, s *site) {
			s.patch(t, "west", "clusterset/default", "{.spec.importNamespaces}", `{"spec":{"importNamespaces":{"matchLabels":{"import":"yes"}}}}`, `{"spec":{"importNamespaces":%s}}`)
		}, hop: "import", cluster: "west", looked: "Namespace explain", says: "importNamespaces", long: true},
		{name: "the Member may not export from the namespace", inject: func(t *testing.T, s *site) {
			s.patch(t, "hub", "-n=tombolo-hub member/east", "{.spec.namespaces}", `{"spec":{"namespaces":["other"]}}`, `{"spec":{"namespaces":%s}}`)
		}, hop: "export", cluster: "east", looked: "ServiceExport explain/web", says: "Member.spec.namespaces", long: true},
		{name: "no agent is on the client's node", inject: expel, hop: "node", cluster: "west", looked: "agent on node " + s.client, says: "no pod of DaemonSet tombolo-dataplane", long: true},
		{name: "CoreDNS is too old", inject: oldDNS, hop: "dns", cluster: "west", looked: "ClusterSet default", says: "CoreDNSTooOld", warns: true, long: true},
		{name: "CoreDNS is not configured", inject: manualDNS, hop: "dns", cluster: "west", looked: "ClusterSet default", says: "(Manual)", long: true},
		{name: "CoreDNS has no rights", inject: disarmDNS, hop: "dns", cluster: "west", looked: "DNS server", long: true},
		{name: "the gateway's node is frozen", inject: freezeNode, hop: "gateway", cluster: "west", looked: "GatewayNode tombolo-system/" + s.gateway, long: true, lab: true},
	}
	if s.has("ipv4") && s.has("ipv6") {
		all = append(all, fault{name: "IPv6 is off on the client's node", inject: func(t *testing.T, s *site) {
			s.onNode(t, s.client, "sysctl", "-w", "net.ipv6.conf.default.disable_ipv6=1")
			t.Cleanup(func() { s.onNode(t, s.client, "sysctl", "-w", "net.ipv6.conf.default.disable_ipv6=0") })
		}, hop: "node", cluster: "west", looked: "Node " + s.client, says: "it has no IPv6", warns: true, lab: true})
	}
	return all
}

// deny makes a node drop packets, after all that iptables lets through.
func (s *site) deny(t *testing.T, node, hook string, matches ...string) {
	t.Helper()
	rules := fmt.Sprintf("add table inet deny; add chain inet deny %[1]s { type filter hook %[1]s priority 10; }; ", hook)
	for _, match := range matches {
		rules += fmt.Sprintf("add rule inet deny %s %s drop; ", hook, match)
	}
	s.onNode(t, node, "nft", rules)
	t.Cleanup(func() { s.onNode(t, node, "nft", "delete table inet deny") })
}

// patch changes an object, and takes back what the path has at the end. back has a place for it.
func (s *site) patch(t *testing.T, cluster, object, path, patch, back string) {
	t.Helper()
	words := strings.Fields(object)
	run := func(ctx context.Context, verb string, args ...string) string {
		out, err := s.Kubectl(ctx, cluster, append(append([]string{verb}, words...), args...)...)
		if err != nil {
			t.Error(err)
		}
		return out
	}
	was := run(t.Context(), "get", "-o", "jsonpath="+path)
	if was == "" {
		was = "null"
	}
	run(t.Context(), "patch", "--type=merge", "--patch", patch)
	t.Cleanup(func() {
		run(context.WithoutCancel(t.Context()), "patch", "--type=merge", "--patch", fmt.Sprintf(back, was))
	})
}

// then runs kubectl at the end of the test.
func (s *site) then(t *testing.T, cluster string, args ...string) {
	t.Helper()
	t.Cleanup(func() {
		if _, err := s.Kubectl(context.WithoutCancel(t.Context()), cluster, args...); err != nil {
			t.Error(err)
		}
	})
}

func drain(t *testing.T, s *site) {
	s.kubectl(t, "west", "annotate", "node", s.gateway, "clusterset.tombolo.dev/gateway-drain=true")
	s.then(t, "west", "annotate", "node", s.gateway, "clusterset.tombolo.dev/gateway-drain-")
}

// claim makes a Service of west to which kube-proxy sends what goes to web's clusterset IP.
func claim(t *testing.T, s *site) {
	ip := s.kubectl(t, "west", "get", "serviceimport", "web", "-o", "jsonpath={.spec.ips[0]}")
	family := "IPv4"
	if strings.Contains(ip, ":") {
		family = "IPv6"
	}
	s.apply(t, "west", fmt.Sprintf("{apiVersion: v1, kind: Service, metadata: {name: claim, namespace: explain}, spec: {selector: {app: client}, ipFamilies: [%s], externalIPs: [%q], ports: [{port: 80, targetPort: 8080}]}}", family, ip))
	s.then(t, "west", "-n", namespace, "delete", "service", "claim")
}

// spoilToken writes a token that the hub does not know into west's Secret.
func spoilToken(t *testing.T, s *site) {
	s.patch(t, "west", "-n=tombolo-system secret/tombolo-hub", "{.data.token}", `{"stringData":{"token":"ended"}}`, `{"data":{"token":%q}}`)
}

// expel takes the agent off the client's node, and leaves those of other nodes alone.
func expel(t *testing.T, s *site) {
	daemonset := []string{"-n", "tombolo-system", "patch", "daemonset/tombolo-dataplane", "--patch"}
	s.kubectl(t, "west", append(daemonset, fmt.Sprintf(`{"spec":{"updateStrategy":{"type":"OnDelete","rollingUpdate":null},"template":{"spec":{"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[
{"matchFields":[{"key":"metadata.name","operator":"NotIn","values":[%q]}]}]}}}}}}}`, s.client))...)
	s.then(t, "west", "-n", "tombolo-system", "rollout", "status", "daemonset/tombolo-dataplane", "--timeout=60s")
	s.then(t, "west", append(daemonset, `{"spec":{"updateStrategy":{"type":"RollingUpdate"},"template":{"spec":{"affinity":null}}}}`)...)
}

const dns = "deployment/coredns"

// oldDNS gives CoreDNS's Deployment an old version's image. Its pods stay as they are.
func oldDNS(t *testing.T, s *site) {
	s.kubectl(t, "west", "-n", "kube-system", "rollout", "pause", dns)
	s.then(t, "west", "-n", "kube-system", "rollout", "resume", dns)
	image := s.kubectl(t, "west", "-n", "kube-system", "get", dns, "-o", "jsonpath={.spec.template.spec.containers[0].image}")
	s.kubectl(t, "west", "-n", "kube-system", "set", "image", dns, "coredns="+strings.Split(image, ":")[0]+":v1.11.1")
	s.then(t, "west", "-n", "kube-system", "set", "image", dns, "coredns="+image)
}

// restartDNS lets CoreDNS read its configuration, which takes it two minutes by itself.
func (s *site) restartDNS(ctx context.Context, t *testing.T) {
	t.Helper()
	for _, args := range [][]string{{"restart", dns}, {"status", dns, "--timeout=60s"}} {
		if _, err := s.Kubectl(ctx, "west", append([]string{"-n", "kube-system", "rollout"}, args...)...); err != nil {
			t.Error(err)
		}
	}
}

// manualDNS makes the operator take its part out of CoreDNS's configuration.
func manualDNS(t *testing.T, s *site) {
	wait := func(ctx context.Context, args ...string) {
		if _, err := s.Kubectl(ctx, "west", append([]string{"wait", "--timeout=60s"}, args...)...); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(func() {
		ctx := context.WithoutCancel(t.Context())
		wait(ctx, "-n=kube-system", "configmap/coredns", install.CorefileChanged)
		s.restartDNS(ctx, t)
		wait(ctx, "clusterset/default", "--for=condition=DNSReady")
	})
	s.patch(t, "west", "clusterset/default", "{.spec.dns}", `{"spec":{"dns":"Manual"}}`, `{"spec":{"dns":%q}}`)
	wait(t.Context(), "clusterset/default", "--for=condition=DNSReady=False")
	s.restartDNS(t.Context(), t)
}

// disarmDNS takes the right to read ServiceImports from CoreDNS.
func disarmDNS(t *testing.T, s *site) {
	t.Cleanup(func() { s.restartDNS(context.WithoutCancel(t.Context()), t) })
	role := s.kubectl(t, "west", "get", "clusterrole", "tombolo-coredns", "-o", "jsonpath={.rules}")
	s.kubectl(t, "west", "patch", "clusterrole", "tombolo-coredns", "--type=merge", "--patch", `{"rules":[]}`)
	s.then(t, "west", "patch", "clusterrole", "tombolo-coredns", "--type=merge", "--patch", `{"rules":`+role+`}`)
	s.kubectl(t, "west", "-n", "kube-system", "delete", "pods", "-l", "k8s-app=kube-dns")
}

// freezeNode stops the gateway's node, without what others need of it.
func freezeNode(t *testing.T, s *site) {
	s.kubectl(t, "west", "taint", "node", s.gateway, "explain=frozen:NoSchedule")
	s.then(t, "west", "taint", "node", s.gateway, "explain-")
	s.restartDNS(t.Context(), t)
	if _, err := shell.Output(s.Lab(t.Context(), "node", "pause", s.gateway)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := shell.Output(s.Lab(context.WithoutCancel(t.Context()), "node", "resume", s.gateway)); err != nil {
			t.Error(err)
		}
	})
}

// freeze stops an agent without ending it.
func (s *site) freeze(t *testing.T, node, agent string) {
	t.Helper()
	s.onNode(t, node, "pkill", "-STOP", "-f", "^/tombolo "+agent)
	t.Cleanup(func() { s.onNode(t, node, "pkill", "-CONT", "-f", "^/tombolo "+agent) })
}

// cut drops frames between two clusters.
func (s *site) cut(t *testing.T, from, to string, which ...string) {
	t.Helper()
	if _, err := shell.Output(s.Lab(t.Context(), append([]string{"net", "cut", from, to}, which...)...)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := shell.Output(s.Lab(context.WithoutCancel(t.Context()), "net", "heal", from, to)); err != nil {
			t.Error(err)
		}
	})
}

func stopHub(t *testing.T, s *site) {
	if _, err := shell.Output(s.Lab(t.Context(), "api", "stop", "hub")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := shell.Output(s.Lab(context.WithoutCancel(t.Context()), "api", "start", "hub")); err != nil {
			t.Error(err)
		}
	})
}

// shrinkMember approves only addresses that no pod of west has.
func shrinkMember(t *testing.T, s *site) {
	patch := func(ctx context.Context, cidrs string) {
		_, err := s.Kubectl(ctx, "hub", "--namespace", "tombolo-hub", "patch", "member", "west", "--type=merge", "--patch", fmt.Sprintf(`{"spec":{"cidrs":%s}}`, cidrs))
		if err != nil {
			t.Error(err)
		}
	}
	was, err := s.Kubectl(t.Context(), "hub", "--namespace", "tombolo-hub", "get", "member", "west", "-o", "jsonpath={.spec.cidrs}")
	if err != nil {
		t.Fatal(err)
	}
	patch(t.Context(), `["198.51.100.0/24","2001:db8::/64"]`)
	t.Cleanup(func() { patch(context.WithoutCancel(t.Context()), was) })
}

// stopOperator ends west's operator.
func stopOperator(t *testing.T, s *site) {
	scale := func(ctx context.Context, replicas string) {
		if _, err := s.Kubectl(ctx, "west", "--namespace", "tombolo-system", "scale", "deployment/tombolo-operator", "--replicas", replicas); err != nil {
			t.Error(err)
		}
	}
	was, err := s.Kubectl(t.Context(), "west", "--namespace", "tombolo-system", "get", "deployment/tombolo-operator", "-o", "jsonpath={.spec.replicas}")
	if err != nil {
		t.Fatal(err)
	}
	scale(t.Context(), "0")
	t.Cleanup(func() { scale(context.WithoutCancel(t.Context()), was) })
}
