//go:build e2e

package conformance

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"text/template"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// machine is a virtual machine of a cluster: a network of its own behind one of the cluster's nodes, inside
// the Member's CIDRs. It knows its own subnet and the cluster's nodes, and neither pods nor other clusters.
type machine struct {
	host     string           // the node that routes to it
	networks []machineNetwork // one of each IP family
}

// machineSubnet is the number of its subnet among those of the Member's CIDRs: beyond those of nodes.
const machineSubnet = 50

// machineScript makes the machine, which ends with it, and lets it say who asks.
var machineScript = template.Must(template.New("").Parse(`set -e
cat > /tmp/talk <<'END'
#!/bin/sh
echo machine $SOCAT_PEERADDR:$SOCAT_PEERPORT asks
END
cat > /tmp/http <<'END'
#!/bin/sh
while read -r line && [ ${#line} -gt 1 ]; do :; done
printf 'HTTP/1.0 200 OK\r\n\r\n'
exec /tmp/talk
END
cat > /tmp/machine <<'END'
ip link set lo up
ip link set eth0 up
{{range $network := .Networks}}
ip address add {{.Machine}}/{{.Bits}} dev eth0 {{if eq .Version 6}}nodad{{end}}
{{range .Nodes}}
ip route add {{.}} via {{$network.Node}}
{{end}}
socat TCP{{.Version}}-LISTEN:{{$.HTTP}},fork,reuseaddr{{if eq .Version 6}},ipv6only=1{{end}} EXEC:/tmp/http &
socat UDP{{.Version}}-RECVFROM:{{$.UDP}},fork,reuseaddr{{if eq .Version 6}},ipv6only=1{{end}} EXEC:/tmp/talk &
{{end}}
wait
END
chmod +x /tmp/talk /tmp/http
unshare -n sleep infinity &
until [ "$(readlink /proc/$!/ns/net)" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.1; done
ip link add machine0 type veth peer name eth0 netns $!
ip link set machine0 up
{{range .Networks}}
ip address add {{.Node}}/{{.Bits}} dev machine0 {{if eq .Version 6}}nodad{{end}}
{{end}}
exec nsenter -t $! -n sh -e /tmp/machine
`))

// machineNetwork is its network of one IP family.
type machineNetwork struct {
	netip.Prefix
	Node    netip.Addr // of the host in that network
	Machine netip.Addr
	Nodes   []string // addresses of the cluster's other nodes
	Version int      // of IP
}

func newMachineNetwork(approved netip.Prefix) machineNetwork {
	raw, at, bits, version := approved.Addr().AsSlice(), 2, 24, 4
	if approved.Addr().Is6() {
		at, bits, version = 7, 64, 6
	}
	raw[at] = machineSubnet
	first, _ := netip.AddrFromSlice(raw)
	return machineNetwork{Prefix: netip.PrefixFrom(first, bits), Node: first.Next(), Machine: first.Next().Next(), Version: version}
}

// TestMachine: what is no pod, and knows no way to pods and other clusters, answers pods and nodes of
// its own cluster through the clusterset IP, and those of the other cluster through the gateway. It
// sees nodes of its own cluster, whatever the CNIs masquerade. It is in west. On the lab, west's CNI
// leaves alone what a node sends to addresses inside the pods' CIDRs that no node has. Flannel
// masquerades that, too, on the node that routes to the machine.
func TestMachine(t *testing.T) {
	s := &peers{scene: newScene(t, "machine"), nodes: map[string][]corev1.Node{}, pods: map[string][]corev1.Pod{}}
	m := s.newMachine(t)
	s.allow(t)
	var like corev1.Pod
	for _, n := range m.networks {
		like.Status.PodIPs = append(like.Status.PodIPs, corev1.PodIP{IP: n.Machine.String()})
	}
	byHand := slicesOf("machine", like)
	for _, o := range byHand {
		slice := o.(*discoveryv1.EndpointSlice)
		slice.Ports = append(slice.Ports, discoveryv1.EndpointPort{Name: new("talk"), Port: new(int32(udpPort)), Protocol: new(corev1.ProtocolUDP)})
	}
	s.create(t, s.west, append(byHand, service("machine", "", tcp("http", 80, httpPort), udp("talk", 53, udpPort)), export("machine"))...)
	eventually(t, within, func(ctx context.Context) error {
		return s.condition(ctx, s.west, "machine", mcsv1beta1.ServiceExportConditionReady, metav1.ConditionTrue, "")
	})
	for _, c := range s.both() {
		var nodes corev1.NodeList
		if err := c.List(t.Context(), &nodes); err != nil {
			t.Fatal(err)
		}
		s.nodes[c.name] = nodes.Items
		s.create(t, c, daemonSet("peer"))
		s.pods[c.name] = s.running(t, c, "peer", len(nodes.Items))
	}
	for _, c := range s.both() {
		vips := awaitImport(t, s.scene, c, "machine", "west").Spec.IPs
		for _, from := range append(s.askingPods(c), s.askingNodes(t, c)...) {
			t.Run(from.name, func(t *testing.T) {
				t.Parallel()
				by := strings.TrimPrefix(from.name, "pod of ")
				if c == s.east { // the gateway leaves to a node what is routed to it
					by = m.host
				}
				want := s.expectedBy(m, by, vips)
				eventually(t, podsWithin, func(ctx context.Context) error { return seen(ctx, from, want) })
			})
		}
	}
}

// flannelAnnotation is what flannel's daemon says of each node that it connects.
const flannelAnnotation = "flannel.alpha.coreos.com/backend-type"

// expectedBy returns, by protocol, IP family, address and port, under which address of that node of its
// cluster the machine must see clients.
func (s *peers) expectedBy(m machine, node string, vips []string) map[string]string {
	i := slices.IndexFunc(s.nodes[s.west.name], func(n corev1.Node) bool { return n.Name == node })
	internal := internalIPs(&s.nodes[s.west.name][i])
	_, flannel := s.nodes[s.west.name][i].Annotations[flannelAnnotation]
	want := map[string]string{}
	for _, n := range m.networks {
		family := familyOf(n.Machine.String())
		source := n.Node.String()
		if node != m.host && !flannel {
			source = ofFamily(internal, family)[0]
		}
		for _, vip := range ofFamily(vips, family) {
			want[fmt.Sprintf("tcp %s %s 80", flag(family), vip)] = source
			want[fmt.Sprintf("udp %s %s 53", flag(family), vip)] = source
		}
	}
	return want
}

// newMachine makes a machine behind a worker of west, and the other nodes' routes to it.
func (s *peers) newMachine(t *testing.T) machine {
	t.Helper()
	workers, err := s.Nodes(t.Context(), s.west.name, "!clusterset.tombolo.dev/gateway")
	if err != nil {
		t.Fatal(err)
	}
	m := machine{host: workers[0]}
	out, err := s.Kubectl(t.Context(), "hub", "get", "members", "--all-namespaces", "--field-selector", "metadata.name="+s.west.name, "-o", "jsonpath={.items[0].spec.cidrs[*]}")
	if err != nil {
		t.Fatal(err)
	}
	var nodes corev1.NodeList
	if err := s.west.List(t.Context(), &nodes); err != nil {
		t.Fatal(err)
	}
	for _, cidr := range strings.Fields(out) {
		n := newMachineNetwork(netip.MustParsePrefix(cidr))
		for _, node := range nodes.Items {
			if node.Name != m.host {
				n.Nodes = append(n.Nodes, ofFamily(internalIPs(&node), familyOf(n.Machine.String()))...)
			}
		}
		m.networks = append(m.networks, n)
	}
	var script strings.Builder
	if err := machineScript.Execute(&script, map[string]any{"Networks": m.networks, "HTTP": httpPort, "UDP": udpPort}); err != nil {
		t.Fatal(err)
	}
	container := tools()
	container.Command = []string{"sh", "-c", script.String()}
	container.SecurityContext = &corev1.SecurityContext{Privileged: new(true)}
	d := deployment("machine", 1)
	d.Spec.Template.Spec = corev1.PodSpec{
		NodeName: m.host, HostNetwork: true, HostPID: true, TerminationGracePeriodSeconds: new(int64(1)), Containers: []corev1.Container{container},
	}
	s.create(t, s.west, d)
	s.running(t, s.west, "machine", 1)
	s.routes(t, m, nodes.Items)
	return m
}

// routes leads the other nodes to the machine, as a router in their network would.
func (s *peers) routes(t *testing.T, m machine, nodes []corev1.Node) {
	t.Helper()
	host := slices.IndexFunc(nodes, func(n corev1.Node) bool { return n.Name == m.host })
	via := internalIPs(&nodes[host])
	for _, node := range nodes {
		if node.Name == m.host {
			continue
		}
		for _, n := range m.networks {
			if _, err := s.OnNode(t.Context(), node.Name, "ip", "route", "replace", n.String(), "via", ofFamily(via, familyOf(n.Machine.String()))[0]); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if _, err := s.OnNode(context.WithoutCancel(t.Context()), node.Name, "ip", "route", "delete", n.String()); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func internalIPs(n *corev1.Node) (all []string) {
	for _, a := range n.Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			all = append(all, a.Address)
		}
	}
	return all
}

// allow lets the scene's namespace in west export what is no pod.
func (s *peers) allow(t *testing.T) {
	t.Helper()
	selector := &v1alpha1.ExternalEndpoints{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: s.namespace}}}
	set := func(ctx context.Context, to *v1alpha1.ExternalEndpoints) error {
		c := &v1alpha1.ClusterSet{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.ClusterSetName}}
		if err := s.west.Get(ctx, client.ObjectKeyFromObject(c), c); err != nil {
			return err
		}
		before := c.DeepCopy()
		c.Spec.ExternalEndpoints = to
		return s.west.Patch(ctx, c, client.MergeFrom(before))
	}
	if err := set(t.Context(), selector); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := set(context.WithoutCancel(t.Context()), nil); err != nil {
			t.Error(err)
		}
	})
}
