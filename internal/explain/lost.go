package explain

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

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

// sayLost adds where the packets of the client's node are lost, if that is the hop being looked at and
// nothing else has said why.
func (w *walk) sayLost() {
	if slices.ContainsFunc(w.hops, func(h Hop) bool { return h.State == Failed }) {
		return
	}
	told := w.client.Told[w.Client.Node]
	for _, d := range w.destinations() {
		if o := outcome(told, d.String()); o == "" || o == Open {
			continue
		}
		h := w.lost(d)
		known := slices.ContainsFunc(w.hops, func(x Hop) bool { return x.Name == h.Name && x.Looked == h.Looked })
		if h.Name == w.at && !known {
			w.hops = append(w.hops, h)
		}
	}
}

// lost is the hop at which packets to an endpoint are lost that the client's node cannot connect to. A
// node that is nearer to the endpoint and connects tells that the rest of the way is fine.
func (w *walk) lost(d destination) Hop {
	at := fmt.Sprintf("endpoint %s", d)
	told := w.client.Told[w.Client.Node]
	failed := Hop{Name: "endpoint", Cluster: d.cluster, Looked: at, State: Failed}
	if outcome(told, d.String()) == Refused {
		failed.Message = "the pod refuses the connection: does its process listen on this port, at the pod's address?"
		return failed
	}
	if h, ok := w.policyAgainst(d); ok {
		return h
	}
	own := w.from(gatewaysOf(w.client), d)
	var far, home reach
	if c := w.asked(d.cluster); c != nil {
		far = w.from(gatewaysOf(c), d)
	}
	if at, ok := w.home(d); ok {
		home = w.from([]station{at}, d)
	}
	switch {
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
			w.Client.Node, outcome(told, d.String()))
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

// from is which of the nodes connect to the endpoint. Those that were not asked are left out.
func (w *walk) from(nodes []station, d destination) (r reach) {
	for _, s := range nodes {
		c := w.asked(s.cluster)
		if c == nil || s.cluster == w.client.ID() && s.node == w.Client.Node {
			continue
		}
		switch outcome(c.Told[s.node], d.String()) {
		case "":
		case Open, Refused:
			r.yes = append(r.yes, s.node)
		default:
			r.no = append(r.no, s.node)
		}
	}
	return r
}

// endpoint looks at the endpoints themselves, with a connection.
func (w *walk) endpoint() {
	id := w.client.ID()
	told := w.client.Told[w.Client.Node]
	if len(told.Connected) == 0 {
		w.say(Unknown, id, "", "no connection was tried: only ports of TCP are, by a node whose agent answers")
		return
	}
	open := 0
	for _, d := range w.destinations() {
		if outcome(told, d.String()) == Open {
			w.say(Good, d.cluster, "endpoint "+d.String(), "node %s connects", w.Client.Node)
			open++
		}
	}
	w.sayLost()
	for _, vip := range w.served() {
		switch o := outcome(told, vip.String()); {
		case o == Open:
			w.say(Good, id, vip.String(), "node %s connects", w.Client.Node)
		case o != "" && open > 0 && w.allOpen(vip.Addr()):
			w.say(Failed, id, "Node "+w.Client.Node+", "+vip.String(), "the node connects to the endpoints, but not to the clusterset IP (%s): "+
				"its kernel does not serve it. See the node's condition %s and its agent's log", o, "clusterset.tombolo.dev/Dataplane")
		}
	}
}

// allOpen tells whether the node connects to all endpoints of the address's family.
func (w *walk) allOpen(vip netip.Addr) bool {
	told := w.client.Told[w.Client.Node]
	return !slices.ContainsFunc(w.destinations(), func(d destination) bool {
		return d.Addr().Is4() == vip.Is4() && d.tcp && outcome(told, d.String()) != Open
	})
}
