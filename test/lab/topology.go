package lab

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/tombolo-net/tombolo/test/lab/node"
)

// What the plan of addresses has room for.
const (
	maxClusters = 9
	maxNodes    = 9
)

// Hub is the name of the cluster without nodes, and of its context.
const Hub = "hub"

// GatewayLabel marks the nodes that join their cluster to the others. Its value is "true".
const GatewayLabel = "clusterset.tombolo.dev/gateway"

// Topology is what a lab consists of.
type Topology struct {
	Clusters []Cluster `json:"clusters"`
}

// Cluster is a cluster with nodes.
type Cluster struct {
	Name         string         `json:"name"`
	CNI          string         `json:"cni"`       // one of CNIs
	ProxyMode    string         `json:"proxyMode"` // one of ProxyModes
	IPFamily     string         `json:"ipFamily"`  // one of IPFamilies
	PodCIDRs     []netip.Prefix `json:"podCIDRs"`  // the primary family's first
	ServiceCIDRs []netip.Prefix `json:"serviceCIDRs"`
	DNS          netip.Addr     `json:"dns"` // where pods ask for names
	Nodes        []Node         `json:"nodes"`
}

// Node is a node of a cluster. Its name is unique in the lab.
type Node struct {
	Name    string `json:"name"`
	Cluster string `json:"cluster"`
	Region  string `json:"region"`
	Zone    string `json:"zone"`
	Gateway bool   `json:"gateway"`
	// Address is the first of Addresses, which are those in the nodes' networks, the cluster's
	// primary family's first.
	Address   netip.Addr   `json:"address"`
	Addresses []netip.Addr `json:"addresses"`
	MAC       string       `json:"mac"`
}

// topologyOf returns what complete options ask for.
func topologyOf(o Options) Topology {
	var t Topology
	for i := 1; i <= o.Clusters; i++ {
		t.Clusters = append(t.Clusters, clusterOf(o, i))
	}
	return t
}

// clusterOf returns the i-th cluster, i from 1. Services' addresses are next to its pods', except
// in number: west's pods have a smaller range than the others', because equal ones hide mistakes in
// translating addresses.
func clusterOf(o Options, i int) Cluster {
	podBits, podBits6 := 16, 56
	if i == 2 {
		podBits, podBits6 = 18, 58
	}
	family := each(o.IPFamily, i)
	c := Cluster{
		Name:         clusterName(i),
		CNI:          each(o.CNI, i),
		ProxyMode:    each(o.ProxyMode, i),
		IPFamily:     family,
		PodCIDRs:     inFamilies(family, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i)}), podBits), prefix6(10, i, podBits6)),
		ServiceCIDRs: inFamilies(family, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(100 + i)}), 16), prefix6(10, 100+i, 112)),
	}
	for n := 1; n <= o.Nodes; n++ {
		c.Nodes = append(c.Nodes, nodeOf(o, c.Name, i, n))
	}
	c.DNS = c.dnsService()
	if !c.servesClusterIPs() {
		c.DNS = c.Nodes[0].Address // CoreDNS runs in that node's own network
	}
	return c
}

// dnsService returns the address of the Service kube-dns: the tenth of the Services', as kubeadm
// has it.
func (c Cluster) dnsService() netip.Addr {
	a := c.ServiceCIDRs[0].Addr()
	for range 10 {
		a = a.Next()
	}
	return a
}

// servesClusterIPs says whether a Service's address leads anywhere.
func (c Cluster) servesClusterIPs() bool { return c.ProxyMode != node.ProxyNone }

func nodeOf(o Options, cluster string, i, n int) Node {
	v6 := netip.MustParseAddr(fmt.Sprintf("fd00:192:168:127::%d", 10*i+n))
	addresses := inFamilies(each(o.IPFamily, i), netip.AddrFrom4([4]byte{192, 168, 127, byte(10*i + n)}), v6)
	return Node{
		Name:    fmt.Sprintf("%s-%d", cluster, n),
		Cluster: cluster,
		Region:  cluster,
		Zone:    fmt.Sprintf("%s-%c", cluster, 'a'+(n-1)%o.Zones),
		Gateway: n <= o.Gateways,
		Address: addresses[0], Addresses: addresses,
		MAC: net.HardwareAddr{0x02, 0x74, 0x6f, 0x6d, byte(i), byte(n)}.String(), // locally administered
	}
}

// clusterName returns the i-th cluster's name, i from 1.
func clusterName(i int) string {
	names := []string{"east", "west", "north", "south", "north-east", "south-east", "south-west", "north-west", "centre"}
	return names[i-1]
}

// Nodes returns all clusters' nodes. The slice is the caller's.
func (t Topology) Nodes() []Node {
	var nodes []Node
	for _, c := range t.Clusters {
		nodes = append(nodes, c.Nodes...)
	}
	return nodes
}

// APIServers returns the names of all clusters, and of the hub. The slice is the caller's.
func (t Topology) APIServers() []string {
	names := []string{Hub}
	for _, c := range t.Clusters {
		names = append(names, c.Name)
	}
	return names
}

// Outside returns an address of the nodes' IPv4 network for the node behind a NAT, which no other
// node has: its own, 100 higher. It is not valid if the node has no IPv4 address.
func (n Node) Outside() netip.Addr {
	own := n.addressOf(true)
	if !own.IsValid() {
		return netip.Addr{}
	}
	a := own.As4()
	a[3] += 100
	return netip.AddrFrom4(a)
}

// labels are those that the kubelet gives its own Node. That a node is a gateway is for the
// administrator to say.
func (n Node) labels() map[string]string {
	return map[string]string{"topology.kubernetes.io/region": n.Region, "topology.kubernetes.io/zone": n.Zone}
}
