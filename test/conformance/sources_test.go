//go:build e2e

package conformance

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// hostPort is where servers in the nodes' own network listen.
const hostPort = 18080

// peers is a scene with a pod on each node, which serves and asks, and one server in the network of
// a node.
type peers struct {
	*scene
	nodes map[string][]corev1.Node // by cluster
	pods  map[string][]corev1.Pod  // by cluster
	bound map[string][]corev1.Pod  // by cluster: in the network of a node
}

// asker asks from a network: of a pod or of a node.
type asker struct {
	name string
	// sources are the addresses under which servers must see it through tombolo, one of each IP family.
	sources []string
	// masqueraded are the addresses where the CNI has its way; none for a node, whose packets none
	// has to masquerade.
	masqueraded []string
	run         func(ctx context.Context, argv ...string) (string, error)
}

// TestSources: whatever the CNIs masquerade, servers see pods of the other cluster under the pods'
// own addresses, and its nodes under their transit addresses: by the clusterset IP, by name of a
// headless Service and by the address of a pod, both ways, from and to gateways and workers.
func TestSources(t *testing.T) {
	s := &peers{scene: newScene(t, "sources"), nodes: map[string][]corev1.Node{}, pods: map[string][]corev1.Pod{}, bound: map[string][]corev1.Pod{}}
	for _, c := range s.both() {
		host := deployment("host", 1)
		host.Spec.Template = onHost(host.Spec.Template)
		name := "of-" + c.name // exported by one cluster each, so that only its pods answer
		s.create(t, c, daemonSet("peer"), host,
			service(name, "peer", tcp("http", 80, httpPort), udp("talk", 53, udpPort)), export(name),
			headless(service("pods-"+name, "peer", tcp("http", httpPort, httpPort))), export("pods-"+name))
	}
	for _, c := range s.both() {
		var nodes corev1.NodeList
		if err := c.List(t.Context(), &nodes); err != nil {
			t.Fatal(err)
		}
		s.nodes[c.name] = nodes.Items
		s.pods[c.name] = s.running(t, c, "peer", len(nodes.Items))
		s.bound[c.name] = s.running(t, c, "host", 1)
	}
	for _, way := range []struct{ from, to *cluster }{{s.west, s.east}, {s.east, s.west}} {
		vips := awaitImport(t, s.scene, way.from, "of-"+way.to.name, way.to.name).Spec.IPs
		awaitImport(t, s.scene, way.from, "pods-of-"+way.to.name, way.to.name)
		for _, from := range append(s.askingPods(way.from), s.askingNodes(t, way.from)...) {
			t.Run(from.name+" to "+way.to.name, func(t *testing.T) {
				t.Parallel()
				want := s.expected(from, way.to, vips)
				eventually(t, podsWithin, func(ctx context.Context) error { return seen(ctx, from, want) })
			})
		}
	}
}

// askingPods ask from pods, of gateways and of workers.
func (s *peers) askingPods(c *cluster) (askers []asker) {
	for _, p := range s.pods[c.name] {
		askers = append(askers, asker{
			name: "pod of " + p.Spec.NodeName, sources: podIPs(p), masqueraded: hostIPs(p),
			run: func(ctx context.Context, argv ...string) (string, error) {
				return s.Kubectl(ctx, c.name, slices.Concat([]string{"exec", "--namespace", s.namespace, p.Name, "--container", "tools", "--"}, argv)...)
			},
		})
	}
	return askers
}

// askingNodes ask from the nodes' own network, as pods with hostNetwork do.
func (s *peers) askingNodes(t *testing.T, c *cluster) (askers []asker) {
	t.Helper()
	for _, n := range s.nodes[c.name] {
		var transit []string
		for _, a := range clusterset.ParseTransitAddresses(n.Annotations[v1alpha1.AnnotationTransitAddress]) {
			transit = append(transit, a.String())
		}
		for _, family := range s.families {
			if len(ofFamily(transit, family)) != 1 {
				t.Fatalf("node %s has no transit address of %s: %v", n.Name, family, n.Annotations)
			}
		}
		askers = append(askers, asker{
			name: n.Name, sources: transit,
			run: func(ctx context.Context, argv ...string) (string, error) { return s.OnNode(ctx, n.Name, argv...) },
		})
	}
	return askers
}

// daemonSet has a server on each node, with a container of tools beside it.
func daemonSet(app string) *appsv1.DaemonSet {
	template := servers(app)
	template.Spec.Containers = append(template.Spec.Containers, tools())
	return &appsv1.DaemonSet{
		ObjectMeta: metav1.ObjectMeta{Name: app},
		Spec:       appsv1.DaemonSetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}, Template: template},
	}
}

// onHost moves a template of servers into the nodes' own network.
func onHost(template corev1.PodTemplateSpec) corev1.PodTemplateSpec {
	template.Spec.HostNetwork = true
	template.Spec.Containers[0].Args = []string{fmt.Sprintf("--http=:%d", hostPort)}
	template.Spec.Containers[0].Ports = nil
	return template
}

// expected returns, by protocol, IP family, address and port, under which address servers there must
// see a client.
func (s *peers) expected(from asker, to *cluster, vips []string) map[string]string {
	want := map[string]string{}
	for _, family := range s.families {
		expect := func(source []string, protocol string, port int, addresses ...string) {
			for _, a := range addresses {
				want[fmt.Sprintf("%s %s %s %d", protocol, flag(family), a, port)] = source[0]
			}
		}
		source := ofFamily(from.sources, family)
		expect(source, "tcp", 80, ofFamily(vips, family)...)
		expect(source, "udp", 53, ofFamily(vips, family)...)
		for _, p := range s.pods[to.name] {
			expect(source, "tcp", httpPort, ofFamily(podIPs(p), family)...)
			expect(source, "udp", udpPort, ofFamily(podIPs(p), family)...)
		}
		if len(from.masqueraded) == 0 {
			continue
		}
		expect(source, "tcp", httpPort, strings.TrimSuffix(s.clusterset("pods-of-"+to.name), "."))
		// The CNI masquerades on the way to addresses that tombolo does not handle. If it did not,
		// this test would prove nothing.
		for _, p := range s.bound[to.name] {
			expect(ofFamily(from.masqueraded, family), "tcp", hostPort, ofFamily(podIPs(p), family)...)
		}
	}
	return want
}

// askAll asks several servers at once, of each of its arguments one: protocol, flag of the IP family,
// address, port.
const askAll = `for server in "$@"; do
	set -- $server
	host=$3
	case $host in *:*) host="[$host]" ;; esac
	case $1 in
	tcp) echo "$server: $(curl $2 -sS --fail --max-time ` + patience + ` http://$host:$4/ 2>&1)" & ;;
	udp) echo "$server: $(echo hello | nc $2 -u -w 5 $3 $4 2>&1)" & ;;
	esac
done
wait`

// seen returns an error unless each server sees the client as it should.
func seen(ctx context.Context, from asker, want map[string]string) error {
	out, err := from.run(ctx, append([]string{"sh", "-c", askAll, "ask"}, slices.Sorted(maps.Keys(want))...)...)
	if err != nil {
		return err
	}
	answers := map[string]string{}
	for line := range strings.Lines(out) {
		server, answer, _ := strings.Cut(strings.TrimSpace(line), ": ")
		answers[server] = answer
	}
	var errs []error
	for server, source := range want {
		got := answers[server]
		if fields := strings.Fields(got); len(fields) == 3 { // the server's name, the client's address, what it sent
			client, _ := netip.ParseAddrPort(fields[1])
			got = client.Addr().Unmap().String()
		}
		if got != source {
			errs = append(errs, fmt.Errorf("%s asked %s, which saw %q, want %s", from.name, server, got, source))
		}
	}
	return errors.Join(errs...)
}
