package paths

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/internal/kernel/route"
	"github.com/tombolo-net/tombolo/internal/kernel/vxlan"
)

// outcome is what becomes of a packet.
type outcome string

const (
	delivered outcome = "delivered"
	// refused: a node answered that nothing leads there.
	refused outcome = "refused"
	// lost: it was sent to a dead node or over a dead link.
	lost outcome = "lost"
	// looped: it came to where it had been.
	looped outcome = "looped"
	// guarded: a node took it for a packet that does not belong into the VXLAN.
	guarded outcome = "guarded"
	// leaked: it left by the node's ordinary routes, in clear, or to nobody.
	leaked outcome = "leaked"
)

// place is where a packet is: on a node, by a device.
type place struct {
	node *node
	iif  string
}

// walk is a packet on its way.
type walk struct {
	*world
	from, to netip.Addr
	trace    []place
}

// outcomes are all that may become of a packet for another cluster that a pod sends: where several
// next hops share flows, any of them may be its own. They come with the ways that led to them.
func (w *world) outcomes(from, to *node) map[outcome]string {
	all := map[outcome]string{}
	walk{world: w, from: from.pod(), to: to.pod()}.at(place{node: from}, all)
	return all
}

// at follows the packet from a place.
func (w walk) at(p place, all map[outcome]string) {
	before := w.trace
	w.trace = append(slices.Clone(before), p)
	end := func(o outcome) { all[o] = w.describe() }
	switch {
	case p.node.dead:
		end(lost)
		return
	case slices.Contains(before, p):
		end(looped)
		return
	case !p.node.admits(p.iif, w.from, w.to):
		end(guarded)
		return
	case p.node.pods().Contains(w.to):
		end(delivered)
		return
	}
	r, found := p.node.lookup(p.iif, w.from, w.to)
	switch {
	case !found:
		end(leaked)
	case r.Type == route.Unreachable:
		end(refused)
	default:
		for _, hop := range r.Hops {
			if next, ok := w.next(p.node, hop); ok {
				w.at(next, all)
			} else {
				end(lost)
			}
		}
	}
}

// admits reports whether the node's filter takes the packet from that device: from the VXLAN and the
// hand-over what goes to other clusters, and from the VXLAN what comes from them.
func (n *node) admits(iif string, from, to netip.Addr) bool {
	near, far := n.overlay.Near, n.overlay.Far
	switch iif {
	case vxlan.Name:
		return clusterset.Contains(far, from) || clusterset.Contains(near, from) && clusterset.Contains(far, to)
	case vxlan.HandoverName:
		return clusterset.Contains(near, from) && clusterset.Contains(far, to)
	}
	return true
}

// next is where the packet gets by a hop; false if it gets nowhere.
func (w walk) next(n *node, hop route.NextHop) (place, bool) {
	switch hop.Link {
	case vxlan.Name:
		for _, other := range n.cluster.nodes {
			if other.address() == hop.Gateway {
				return place{other, vxlan.Name}, true
			}
		}
		return place{}, false
	case vxlan.HandoverName:
		for _, other := range n.cluster.gateways() {
			if other.tunnelAddress() == hop.Gateway {
				return place{other, vxlan.HandoverName}, true
			}
		}
		return place{}, false
	}
	return w.through(n, hop.Link)
}

// through is where the packet gets by a WireGuard device: to the peer whose allowed IPs hold its
// destination, which takes it if its peer's hold the source.
func (w walk) through(n *node, device string) (place, bool) {
	key, ok := n.peerFor(device, w.to)
	for _, c := range w.clusters {
		for _, g := range c.gateways() {
			if !ok || g.public != key || !w.carries(n, g) {
				continue
			}
			back := fmt.Sprintf("tombolo%d", n.lane)
			sender, accepted := g.peerFor(back, w.from)
			return place{g, back}, accepted && sender == n.public
		}
	}
	return place{}, false
}

// peerFor is the key of the peer on the device that holds the address.
func (n *node) peerFor(device string, addr netip.Addr) (string, bool) {
	for _, d := range n.tunnels.WireGuard.Devices {
		for _, p := range d.Peers {
			if d.Name == device && slices.ContainsFunc(p.AllowedIPs, func(a netip.Prefix) bool { return a.Contains(addr) }) {
				return p.PublicKey.String(), true
			}
		}
	}
	return "", false
}

// lookup is the route that the kernel takes: rules by priority, in each table the longest prefix,
// of several routes to it the one with the lowest metric.
func (n *node) lookup(iif string, from, to netip.Addr) (route.Route, bool) {
	for _, r := range n.rules {
		if r.IPv6 || r.Protocol != 0 || r.IIF != "" && r.IIF != iif || r.From.IsValid() && !r.From.Contains(from) || r.To.IsValid() && !r.To.Contains(to) {
			continue
		}
		if found, ok := n.inTable(r.Table, to); ok {
			return found, true
		}
	}
	return route.Route{}, false
}

func (n *node) inTable(table int, to netip.Addr) (best route.Route, ok bool) {
	for _, r := range n.routes {
		if r.Table != table || !r.Destination.Contains(to) {
			continue
		}
		longer := cmp.Compare(r.Destination.Bits(), best.Destination.Bits())
		if !ok || longer > 0 || longer == 0 && r.Metric < best.Metric {
			best, ok = r, true
		}
	}
	return best, ok
}

// describe is the packet's way so far.
func (w walk) describe() string {
	var names []string
	for _, p := range w.trace {
		names = append(names, strings.TrimPrefix(p.iif+">", ">")+p.node.name())
	}
	return strings.Join(names, " ")
}

// connected reports whether a way leads from one cluster to another: over a live gateway, at most
// one more by hand-over, and a link that carries packets.
func (w *world) connected(from, to *cluster) bool {
	for _, g := range from.gateways() {
		for _, h := range to.gateways() {
			if w.carries(g, h) {
				return true
			}
		}
	}
	return false
}

// countHandovers is how often a packet was handed over on its way.
func countHandovers(way string) int { return strings.Count(way, vxlan.HandoverName) }

func handover(way string) bool { return countHandovers(way) > 0 }
