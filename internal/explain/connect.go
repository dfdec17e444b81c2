package explain

import (
	"cmp"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/utils/ptr"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// tried is how many endpoints are connected to at most.
const tried = 8

// destination is an endpoint that gets new flows.
type destination struct {
	netip.AddrPort
	cluster  v1alpha1.ClusterID
	protocol corev1.Protocol
}

// destinations are the endpoints that get new flows, sorted, once each: those of the node's decision;
// of a headless name all that are ready.
func (w *walk) destinations() []destination {
	var all []destination
	switch {
	case w.headless():
		for i := range w.client.ImportedSlices {
			all = append(all, w.readyIn(&w.client.ImportedSlices[i])...)
		}
	case w.decision != nil:
		for _, p := range w.decision.Ports {
			for _, e := range p.Endpoints {
				if e.Programmed && e.Weight > 0 {
					all = append(all, destination{netip.AddrPortFrom(e.Address, e.Port), e.Cluster, p.Protocol})
				}
			}
		}
	}
	slices.SortFunc(all, func(a, b destination) int {
		return cmp.Or(a.Compare(b.AddrPort), cmp.Compare(a.protocol, b.protocol))
	})
	return slices.DeleteFunc(slices.Compact(all), func(d destination) bool { return !w.hasFamily(d.Addr()) })
}

// hasFamily tells whether the client's node has the address's IP family.
func (w *walk) hasFamily(a netip.Addr) bool {
	return a.Is4() || w.client.Told[w.Client.Node].NoIPv6 == ""
}

// readyIn are the ready endpoints of an imported slice, if it is of the name.
func (w *walk) readyIn(slice *discoveryv1.EndpointSlice) (all []destination) {
	if slice.Namespace != w.Name.Namespace || slice.Labels[v1alpha1.LabelServiceName] != w.Name.Service {
		return nil
	}
	for _, e := range slice.Endpoints {
		if e.Conditions.Ready != nil && !*e.Conditions.Ready {
			continue
		}
		for _, a := range e.Addresses {
			addr, err := netip.ParseAddr(a)
			if err != nil {
				continue
			}
			for _, p := range slice.Ports {
				if p.Port != nil {
					all = append(all, destination{netip.AddrPortFrom(addr, uint16(*p.Port)), clusterset.SourceCluster(slice.Labels),
						ptr.Deref(p.Protocol, corev1.ProtocolTCP)})
				}
			}
		}
	}
	return all
}

// Attempts is what the client's node should try: to connect to the endpoints that get new flows and
// to the clusterset IPs, and whether large packets arrive. At an endpoint of UDP a refusal of TCP
// shows that the way there is open.
func (f *Facts) Attempts() Question {
	w := newWalk(f)
	w.decision = w.client.Told[w.Client.Node].Decision
	q := Question{}
	for _, d := range w.destinations() {
		if len(q.Connect) < tried {
			q.add(d)
		}
	}
	for _, d := range w.served() {
		q.Connect = append(q.Connect, d.String())
	}
	return q
}

// add asks for the endpoint, once for each thing that is tried.
func (q *Question) add(d destination) {
	if !slices.Contains(q.Connect, d.String()) {
		q.Connect = append(q.Connect, d.String())
	}
	if d.protocol == corev1.ProtocolUDP {
		q.Datagrams = append(q.Datagrams, d.String())
	}
	if !slices.Contains(q.Full, d.Addr()) {
		q.Full = append(q.Full, d.Addr())
	}
}

// served are the clusterset IPs with their ports, if new flows to them are not refused.
func (w *walk) served() (all []netip.AddrPort) {
	if w.decision == nil {
		return nil
	}
	for _, p := range w.decision.Ports {
		if p.Protocol == corev1.ProtocolTCP && !refused(&p) && w.hasFamily(p.Address) {
			all = append(all, netip.AddrPortFrom(p.Address, p.Port))
		}
	}
	return all
}

// Retry is what nodes nearer to the endpoints should try, by cluster and node, to find out where the
// packets of the client's node are lost; none: they are not.
func (f *Facts) Retry() map[v1alpha1.ClusterID]map[string]Question {
	w := newWalk(f)
	told := w.client.Told[w.Client.Node]
	w.decision = told.Decision
	ask := map[v1alpha1.ClusterID]map[string]Question{}
	for _, d := range w.destinations() {
		if o := fares(told, d); o == "" || o == Open && full(told, d).Outcome != TimedOut {
			continue
		}
		for _, at := range w.stations(d) {
			if at.cluster == w.client.ID() && at.node == w.Client.Node {
				continue
			}
			if ask[at.cluster] == nil {
				ask[at.cluster] = map[string]Question{}
			}
			q := ask[at.cluster][at.node]
			q.add(d)
			ask[at.cluster][at.node] = q
		}
	}
	return ask
}

// station is a node on the way to an endpoint.
type station struct {
	cluster v1alpha1.ClusterID
	node    string
}

// stations are the nodes on the way to the endpoint that can be asked: gateways of the client's cluster,
// gateways of the other one, and the endpoint's own node, as far as they are known.
func (w *walk) stations(d destination) []station {
	var all []station
	if d.cluster != w.client.ID() {
		all = append(all, gatewaysOf(w.client)...)
		if c := w.asked(d.cluster); c != nil {
			all = append(all, gatewaysOf(c)...)
		}
	}
	if at, ok := w.home(d); ok {
		all = append(all, at)
	}
	slices.SortFunc(all, compareStations)
	return slices.Compact(all)
}

// outcome is how the attempt at that address went; empty: there was none.
func outcome(all []Connected, to string) Outcome {
	for _, c := range all {
		if c.To == to {
			return c.Outcome
		}
	}
	return ""
}

// fares is how packets of a node to the endpoint fare. Open: they arrive. Refused: the endpoint's pod
// refuses them. Empty: nothing was tried.
func fares(t Told, d destination) Outcome {
	connected := outcome(t.Connected, d.String())
	if d.protocol == corev1.ProtocolTCP {
		return connected
	}
	if sent := outcome(t.Sent, d.String()); sent == Open || sent == Refused {
		return sent
	}
	if connected == Refused {
		return Open
	}
	return connected
}

// full is how large packets of a node to the endpoint fare.
func full(t Told, d destination) Full {
	for _, f := range t.Full {
		if f.To == d.Addr() {
			return f
		}
	}
	return Full{}
}
