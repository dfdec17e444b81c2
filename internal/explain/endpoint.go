package explain

import (
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// endpoint looks at the endpoints themselves, with a connection.
func (w *walk) endpoint() {
	id := w.client.ID()
	told := w.client.Told[w.Client.Node]
	if len(told.Connected) == 0 {
		w.say(Unknown, id, "", "no connection was tried: a node whose agent answers does that")
		return
	}
	open := 0
	for _, d := range w.destinations() {
		if fares(told, d) == Open && full(told, d).Outcome != TimedOut {
			w.say(Good, d.cluster, "endpoint "+d.String(), "%s", w.arrived(d))
			open++
		}
	}
	w.sayLost()
	w.inPod()
	for _, vip := range w.served() {
		switch o := outcome(told.Connected, vip.String()); {
		case o == Open:
			w.say(Good, id, vip.String(), "node %s connects", w.Client.Node)
		case o != "" && open > 0 && w.allOpen(vip.Addr()):
			w.say(Failed, id, "Node "+w.Client.Node+", "+vip.String(), "the node connects to the endpoints, but not to the clusterset IP (%s): "+
				"its kernel does not serve it. See the node's condition %s and its agent's log", o, "clusterset.tombolo.dev/Dataplane")
		}
	}
}

// inPod adds what was found out inside the client's pod: what arrives from there, and what only the
// pod's own packets do not pass.
func (w *walk) inPod() {
	own, node := w.Client.Told, w.client.Told[w.Client.Node]
	if own == nil || slices.ContainsFunc(w.hops, func(h Hop) bool { return h.State == Failed }) {
		return
	}
	looked := "pod " + w.Client.Pod
	if own.Unasked != "" {
		w.say(Unknown, w.client.ID(), looked, "nothing could be tried inside the pod: %s", own.Unasked)
		return
	}
	var lost, fine []string
	try := func(to string, fromNode, fromPod Outcome) {
		switch {
		case fromPod == Open:
			fine = append(fine, to)
		case fromPod != "" && fromNode == Open:
			lost = append(lost, fmt.Sprintf("%s (%s)", to, fromPod))
		}
	}
	for _, d := range w.destinations() {
		try(d.String(), fares(node, d), fares(*own, d))
	}
	for _, vip := range w.served() {
		try(vip.String(), outcome(node.Connected, vip.String()), outcome(own.Connected, vip.String()))
	}
	if len(lost) > 0 {
		w.say(Failed, w.client.ID(), looked, "its node connects to %s, and the pod does not: look at NetworkPolicies with egress rules in its namespace, and at the "+
			"firewall of node %s (iptables -S FORWARD, and INPUT where IPVS serves)", clusterset.NameSome(lost), w.Client.Node)
		return
	}
	if len(fine) > 0 {
		w.say(Good, w.client.ID(), looked, "the pod itself connects to %s", clusterset.NameSome(fine))
	}
}

// allOpen tells whether the node connects to all endpoints of the address's family.
func (w *walk) allOpen(vip netip.Addr) bool {
	told := w.client.Told[w.Client.Node]
	return !slices.ContainsFunc(w.destinations(), func(d destination) bool {
		return d.Addr().Is4() == vip.Is4() && d.protocol == corev1.ProtocolTCP && fares(told, d) != Open
	})
}

// arrived says what of the client's node arrives at the endpoint.
func (w *walk) arrived(d destination) string {
	told := w.client.Told[w.Client.Node]
	said := fmt.Sprintf("node %s connects", w.Client.Node)
	if d.protocol != corev1.ProtocolTCP {
		said = fmt.Sprintf("the way from node %s is open: ", w.Client.Node)
		switch {
		case outcome(told.Sent, d.String()) == Open:
			said += "it answers an empty datagram"
		case outcome(told.Connected, d.String()) == Refused:
			said += "the pod refuses TCP at this port, and did not refuse an empty datagram, which servers need not answer"
		default:
			said += "the pod answers TCP at this port, and did not refuse an empty datagram, which servers need not answer"
		}
	}
	if f := full(told, d); f.Outcome == Open {
		said += fmt.Sprintf(", and packets of %d bytes arrive", f.Bytes)
	}
	return said
}
