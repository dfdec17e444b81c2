package explain

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// gatewaysOf are the nodes of the cluster's gateways that renew their Lease.
func gatewaysOf(c *Cluster) (all []station) {
	for i := range c.GatewayNodes {
		if g := &c.GatewayNodes[i]; clusterset.HasHeartbeat(g) {
			all = append(all, station{c.ID(), cmp.Or(g.Spec.NodeName, g.Name)})
		}
	}
	return all
}

func compareStations(a, b station) int {
	return cmp.Or(cmp.Compare(a.cluster, b.cluster), cmp.Compare(a.node, b.node))
}

// home is the node of the endpoint, if its cluster was asked and says so.
func (w *walk) home(d destination) (station, bool) {
	c := w.asked(d.cluster)
	if c == nil {
		return station{}, false
	}
	for i := range c.Slices {
		for _, e := range c.Slices[i].Endpoints {
			if e.NodeName != nil && slices.Contains(e.Addresses, d.Addr().String()) {
				return station{c.ID(), *e.NodeName}, true
			}
		}
	}
	return station{}, false
}

// sayLost adds where packets of the client's node are lost, if that is the hop being looked at and
// nothing else has said why.
func (w *walk) sayLost() {
	if slices.ContainsFunc(w.hops, func(h Hop) bool { return h.State == Failed }) {
		return
	}
	told := w.client.Told[w.Client.Node]
	for _, d := range w.destinations() {
		var h Hop
		switch o := fares(told, d); {
		case o == "":
			continue
		case o != Open:
			h = w.lost(d)
		case full(told, d).Outcome == TimedOut:
			h = w.tooLarge(d)
		default:
			continue
		}
		known := slices.ContainsFunc(w.hops, func(x Hop) bool { return x.State == h.State && x.Looked == h.Looked })
		if h.Name == w.at && !known {
			w.hops = append(w.hops, h)
		}
	}
}

// lost is the hop at which packets to an endpoint are lost that the client's node does not reach. A
// node that is nearer to the endpoint and reaches it tells that the rest of the way is fine.
func (w *walk) lost(d destination) Hop {
	told := w.client.Told[w.Client.Node]
	failed := Hop{Name: "endpoint", Cluster: d.cluster, Looked: fmt.Sprintf("endpoint %s", d), State: Failed}
	if fares(told, d) == Refused {
		failed.Message = "the pod refuses the connection: does its process listen on this port, at the pod's address?"
		if d.protocol == corev1.ProtocolUDP {
			failed.Message = "the pod refuses a datagram: does its process listen on this port of UDP, at the pod's address?"
		}
		return failed
	}
	if h, ok := w.policyAgainst(d); ok {
		return h
	}
	own, far, home := w.reaches(d, func(t Told) Outcome { return fares(t, d) })
	switch {
	case d.protocol != corev1.ProtocolTCP && w.isolated(d):
		failed.State = Unknown
		failed.Message = "a NetworkPolicy admits its port, and nothing came back of an empty datagram, which servers need not answer: whether it arrives is not known"
	case home.none() && far.none() || d.cluster == w.client.ID() && home.none():
		failed.Message = fmt.Sprintf("node %s of its own cluster does not get an answer either: does the pod's process listen on this port?", home)
	case own.some() && d.cluster != w.client.ID():
		failed.Name, failed.Cluster, failed.Looked = "gateway", w.client.ID(), "between node "+w.Client.Node+" and gateway "+own.String()
		failed.Message = fmt.Sprintf("the gateway itself connects to %s, but what comes from the node is lost: let the gateway's firewall forward "+
			"packets of tombolo+ (iptables -S FORWARD), and UDP 7473 pass between nodes", d)
	case far.some():
		failed.Name, failed.Looked = "filter", "gateway "+far.String()
		failed.Message = fmt.Sprintf("the gateway itself connects to %s, but what comes through the tunnel is lost: let its firewall forward packets "+
			"of tombolo+ (iptables -S FORWARD), and look for events IngressDropped on its RemoteClusters", d)
	case home.some():
		failed.Message = fmt.Sprintf("only its own node %s connects: let UDP 7473 pass between the nodes of cluster %s, and see whether its CNI drops packets", home, d.cluster)
	default:
		failed.Message = fmt.Sprintf("node %s gets no answer (%s): name the other cluster's context with --contexts to see where packets are lost",
			w.Client.Node, fares(told, d))
	}
	return failed
}

// reach is which nodes connect to an endpoint, and which do not.
type reach struct{ yes, no []string }

func (r reach) some() bool { return len(r.yes) > 0 }
func (r reach) none() bool { return len(r.yes) == 0 && len(r.no) > 0 }
func (r reach) String() string {
	return strings.Join(slices.Concat(r.yes, r.no), ", ")
}

// reaches is who gets through to the endpoint: the gateways of the client's cluster, those of the
// endpoint's cluster, and the endpoint's own node.
func (w *walk) reaches(d destination, how func(Told) Outcome) (own, far, home reach) {
	own = w.from(gatewaysOf(w.client), how)
	if c := w.asked(d.cluster); c != nil {
		far = w.from(gatewaysOf(c), how)
	}
	if at, ok := w.home(d); ok {
		home = w.from([]station{at}, how)
	}
	return own, far, home
}

// from is which of the nodes get through. Those that were not asked are left out.
func (w *walk) from(nodes []station, how func(Told) Outcome) (r reach) {
	for _, s := range nodes {
		c := w.asked(s.cluster)
		if c == nil || s.cluster == w.client.ID() && s.node == w.Client.Node {
			continue
		}
		switch how(c.Told[s.node]) {
		case "":
		case Open, Refused:
			r.yes = append(r.yes, s.node)
		default:
			r.no = append(r.no, s.node)
		}
	}
	return r
}

// tooLarge is the hop at which large packets to an endpoint are lost, though small ones arrive.
func (w *walk) tooLarge(d destination) Hop {
	lost := full(w.client.Told[w.Client.Node], d)
	own, far, home := w.reaches(d, func(t Told) Outcome { return full(t, d).Outcome })
	failed := Hop{Name: "link", Cluster: w.client.ID(), Looked: "RemoteCluster " + string(d.cluster), State: Failed}
	where := fmt.Sprintf("between the gateways of clusters %s and %s", w.client.ID(), d.cluster)
	remedy := "set the gateways' device to the MTU of the way between them, or let fragments and ICMP pass"
	switch {
	case d.cluster != w.client.ID() && own.some():
		failed.Name, failed.Looked = "gateway", "between node "+w.Client.Node+" and gateway "+own.String()
		where, remedy = "there", "the VXLAN adds 50 bytes (70 over IPv6): set the nodes' device to the MTU of the network between them"
	case d.cluster == w.client.ID() || home.none() || far.none():
		failed.Name, failed.Cluster, failed.Looked = "endpoint", d.cluster, fmt.Sprintf("endpoint %s", d)
		where, remedy = "inside cluster "+string(d.cluster), "compare the MTUs of its nodes' and its pods' devices"
	}
	failed.Message = fmt.Sprintf("packets of %d bytes to %s are lost %s, and small ones arrive: %s "+
		"(docs/troubleshooting.md#large-packets-are-lost)", lost.Bytes, d.Addr(), where, remedy)
	return failed
}
