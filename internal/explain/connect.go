package explain

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// tried is how many endpoints are connected to at most.
const tried = 8

// destination is an endpoint that gets new flows.
type destination struct {
	netip.AddrPort
	cluster v1alpha1.ClusterID
	tcp     bool
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
					all = append(all, destination{netip.AddrPortFrom(e.Address, e.Port), e.Cluster, p.Protocol == corev1.ProtocolTCP})
				}
			}
		}
	}
	slices.SortFunc(all, func(a, b destination) int { return a.Compare(b.AddrPort) })
	return slices.Compact(all)
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
						p.Protocol == nil || *p.Protocol == corev1.ProtocolTCP})
				}
			}
		}
	}
	return all
}

// Connect is what the agent of the client's node should connect to: the endpoints that get new flows,
// and the clusterset IPs.
func (f *Facts) Connect() []string {
	w := newWalk(f)
	w.decision = w.client.Told[w.Client.Node].Decision
	var all []string
	for _, d := range w.destinations() {
		if d.tcp && len(all) < tried {
			all = append(all, d.String())
		}
	}
	for _, d := range w.served() {
		all = append(all, d.String())
	}
	return all
}

// served are the clusterset IPs with their ports, if new flows to them are not refused.
func (w *walk) served() (all []netip.AddrPort) {
	if w.decision == nil {
		return nil
	}
	for _, p := range w.decision.Ports {
		if p.Protocol == corev1.ProtocolTCP && !refused(&p) {
			all = append(all, netip.AddrPortFrom(p.Address, p.Port))
		}
	}
	return all
}

// Retry is what nodes nearer to the endpoints should connect to, by cluster and node, to find out
// where the packets of the client's node are lost; none: they are not.
func (f *Facts) Retry() map[v1alpha1.ClusterID]map[string][]string {
	w := newWalk(f)
	told := w.client.Told[w.Client.Node]
	w.decision = told.Decision
	ask := map[v1alpha1.ClusterID]map[string][]string{}
	for _, d := range w.destinations() {
		if o := outcome(told, d.String()); o == "" || o == Open {
			continue
		}
		for _, at := range w.stations(d) {
			if at.cluster == w.client.ID() && at.node == w.Client.Node {
				continue
			}
			if ask[at.cluster] == nil {
				ask[at.cluster] = map[string][]string{}
			}
			ask[at.cluster][at.node] = append(ask[at.cluster][at.node], d.String())
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

// outcome is how the node's attempt to connect to that address went; empty: it did not try.
func outcome(t Told, to string) Outcome {
	for _, c := range t.Connected {
		if c.To == to {
			return c.Outcome
		}
	}
	return ""
}
