//go:build e2e

package explain

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/tombolo-net/tombolo/internal/explain"
)

// fault is one thing that goes wrong, and how the command must name it.
type fault struct {
	name string
	// inject breaks something; what it hands to t.Cleanup mends it.
	inject func(t *testing.T, s *site)
	// hop, cluster (empty: several) and looked name where it shows. says is a part of the message.
	hop, cluster, looked, says string
	// asked is the name to explain; empty: that of the fault.
	asked string
	// warns: it ends nothing, and shows as a warning.
	warns bool
	// enter: it shows inside the client's pod only.
	enter bool
	// long: it takes long, and is left out of a short run.
	long bool
	// lab: it takes what only a lab can do to nodes and to the network between them.
	lab bool
}

// names tells whether the answer names the fault and nothing else.
func (f fault) names(a explain.Answer) error {
	want := explain.Failed
	if f.warns {
		want = explain.Warning
	}
	found := false
	for _, h := range a.Hops {
		switch h.State {
		case explain.Good, explain.NotLookedAt, explain.Unknown:
			continue
		}
		if busy(h) {
			continue
		}
		if h.State != want || h.Name != f.hop || !strings.Contains(string(h.Cluster), f.cluster) || !strings.Contains(h.Looked, f.looked) || !strings.Contains(h.Message, f.says) {
			return fmt.Errorf("want %s %s %s %s: %q, got %+v", want, f.hop, f.cluster, f.looked, f.says, h)
		}
		found = true
	}
	if !found {
		return fmt.Errorf("want %s %s %s %s: %q, got no hop that is wrong", want, f.hop, f.cluster, f.looked, f.says)
	}
	return nil
}

// busy tells of a link that was down again and again in the last minutes. It is so where all nodes share
// a few CPUs, and is no fault of what is tested.
func busy(h explain.Hop) bool {
	return h.State == explain.Warning && strings.Contains(h.Message, "does not stay up")
}

// service is the manifest of a Service with that selector and target port, and its export.
func service(name, app, target string) string {
	return fmt.Sprintf(`
apiVersion: v1
kind: Service
metadata: {name: %[1]s, namespace: explain}
spec:
  ipFamilyPolicy: PreferDualStack
  selector: {app: %[2]s}
  ports: [{name: http, port: 80, targetPort: %[3]s}]
---`, name, app, target) + export(name)
}

func export(name string) string {
	return fmt.Sprintf(`
apiVersion: multicluster.x-k8s.io/v1beta1
kind: ServiceExport
metadata: {name: %s, namespace: explain}
---`, name)
}

// objectFaults are faults of a Service of their own, so they are all there at once. A fault's name is
// that of its Service.
func objectFaults() []fault {
	exports := func(manifest string) func(*testing.T, *site) {
		return func(t *testing.T, s *site) { t.Helper(); s.apply(t, "east", manifest) }
	}
	return []fault{
		{name: "not-exported", inject: func(*testing.T, *site) {}, hop: "export", cluster: "west", looked: "ServiceExport explain/not-exported", says: "no cluster exports it"},
		{name: "no-service", inject: exports(export("no-service")),
			hop: "export", cluster: "east", looked: "ServiceExport explain/no-service", says: "there is no Service explain/no-service"},
		{name: "external-name", inject: exports("{apiVersion: v1, kind: Service, metadata: {name: external-name, namespace: explain}, spec: {type: ExternalName, externalName: example.org}}\n---" + export("external-name")),
			hop: "export", cluster: "east", looked: "ServiceExport explain/external-name", says: "of type ExternalName"},
		{name: "unready", inject: exports(service("unready", "unready", "http")),
			hop: "endpoints", cluster: "east", looked: "Service explain/unready", says: "unready (ContainersNotReady)"},
		{name: "no-pod", inject: exports(service("no-pod", "nobody", "http")),
			hop: "endpoints", cluster: "east", looked: "Service explain/no-pod", says: "has the labels app=nobody"},
		{name: "wrong-port-name", inject: exports(service("wrong-port-name", "web", "htpt")),
			hop: "endpoints", cluster: "east", looked: "Service explain/wrong-port-name", says: `port http targets "htpt"`},
		{name: "not-for-west", inject: exports(`{apiVersion: clusterset.tombolo.dev/v1alpha1, kind: ExportPolicy, metadata: {name: not-for-west, namespace: explain}, spec: {targetRef: {name: not-for-west}, clusters: [north]}}` + "\n---" + service("not-for-west", "web", "http")),
			hop: "import", cluster: "west", looked: "ExportPolicy explain/not-for-west", says: "name west in spec.clusters"},
		{name: "conflict", inject: func(t *testing.T, s *site) {
			s.apply(t, "east", service("conflict", "web", "http"))
			other := strings.ReplaceAll(service("conflict", "client", "8080"), "port: 80,", "port: 81,")
			if east := s.kubectl(t, "east", "get", "pod", "web", "-o", "jsonpath={.status.podIPs[*].ip}"); len(strings.Fields(east)) == 1 {
				other = strings.ReplaceAll(other, "PreferDualStack", "SingleStack") // or its other family is left out, with a warning
			}
			s.apply(t, "west", other)
		}, hop: "export", looked: "ServiceExport explain/conflict", says: "Conflict", warns: true},
		{name: "closed", inject: exports(service("closed", "web", "9999")),
			hop: "endpoint", cluster: "east", looked: ":9999", says: "the pod refuses the connection"},
		{name: "two-policies", inject: func(t *testing.T, s *site) {
			s.apply(t, "east", service("two-policies", "web", "http"))
			for _, name := range []string{"one", "two"} {
				s.apply(t, "west", fmt.Sprintf("{apiVersion: clusterset.tombolo.dev/v1alpha1, kind: TrafficPolicy, metadata: {name: %s, namespace: explain}, "+
					"spec: {targetRef: {name: two-policies}, weights: [{cluster: east, weight: 1}]}}", name))
			}
		}, hop: "node", cluster: "west", looked: "TrafficPolicy explain/two", says: "Conflicted", warns: true},
		{name: "foreign", inject: func(t *testing.T, s *site) {
			s.apply(t, "west", "{apiVersion: multicluster.x-k8s.io/v1beta1, kind: ServiceImport, metadata: {name: foreign, namespace: explain}, spec: {type: ClusterSetIP, ports: [{port: 80}]}}")
			s.apply(t, "east", service("foreign", "web", "http"))
		}, hop: "import", cluster: "west", looked: "ServiceImport explain/foreign", says: "tombolo did not make it"},
		{name: "lone", inject: func(t *testing.T, s *site) {
			s.apply(t, "east", strings.ReplaceAll(lonePod+service("lone", "lone", "http"), "namespace: explain", "namespace: explain-lone"))
			t.Cleanup(func() {
				if _, err := s.Kubectl(context.WithoutCancel(t.Context()), "east", "delete", "namespace", "explain-lone", "--wait=false"); err != nil {
					t.Error(err)
				}
			})
			s.kubectl(t, "east", "-n", "explain-lone", "wait", "--for=condition=Ready", "--timeout=60s", "pod/lone")
		}, asked: "lone.explain-lone", hop: "import", cluster: "west", looked: "Namespace explain-lone", says: "kubectl create namespace explain-lone"},
		{name: "local-only", inject: exports(strings.ReplaceAll(service("local-only", "web", "http"), "spec:", "spec:\n  internalTrafficPolicy: Local")),
			hop: "node", cluster: "west", looked: "Node west-", says: "refused"},
		{name: "outside", inject: outside, hop: "export", cluster: "east", looked: "ServiceExport explain/outside", says: "is outside its cluster's approved CIDRs"},
		{name: "closed-udp", inject: exports(strings.ReplaceAll(service("closed-udp", "web", "9998"), "port: 80,", "port: 80, protocol: UDP,")),
			hop: "endpoint", cluster: "east", looked: ":9998", says: "of UDP"},
		{name: "shut", inject: shut, hop: "endpoint", cluster: "east", looked: "NetworkPolicy explain/shut", says: "it selects pod shut"},
	}
}

const lonePod = `
apiVersion: v1
kind: Namespace
metadata: {name: explain-lone}
---
apiVersion: v1
kind: Pod
metadata: {name: lone, namespace: explain, labels: {app: lone}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - {name: web, image: "tombolo-net/echo:lab", imagePullPolicy: IfNotPresent, args: ["--http=:8080"], ports: [{name: http, containerPort: 8080}]}
---`

// outside makes a Service without selector, whose endpoint is at an address that east may not use.
func outside(t *testing.T, s *site) {
	family, address := "IPv4", "198.51.100.7"
	if !s.has("ipv4") {
		family, address = "IPv6", "2001:db8::7"
	}
	s.apply(t, "east", fmt.Sprintf(`{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: outside-1, namespace: explain, labels: {kubernetes.io/service-name: outside}},
  addressType: %s, endpoints: [{addresses: [%q]}], ports: [{name: http, port: 80}]}`, family, address)+"\n---"+
		strings.ReplaceAll(service("outside", "web", "http"), "  selector: {app: web}\n", ""))
}

// shut makes a NetworkPolicy that admits nothing, and does on the pod's node what a CNI does for it.
func shut(t *testing.T, s *site) {
	s.apply(t, "east", "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: shut, namespace: explain}, spec: {podSelector: {matchLabels: {app: shut}}, policyTypes: [Ingress]}}\n---"+
		service("shut", "shut", "http"))
	node := s.kubectl(t, "east", "get", "pod", "shut", "-o", "jsonpath={.spec.nodeName}")
	var matches []string
	for _, ip := range strings.Fields(s.kubectl(t, "east", "get", "pod", "shut", "-o", "jsonpath={.status.podIPs[*].ip}")) {
		family := "ip"
		if strings.Contains(ip, ":") {
			family = "ip6"
		}
		matches = append(matches, family+" daddr "+ip)
	}
	s.deny(t, node, "forward", matches...)
}
