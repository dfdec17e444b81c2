package plan

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/gateway/wireguard"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// keepalive is the interval of packets that keep NATs and firewalls on the way open: most forget
// after 30 s.
const keepalive = 25 * time.Second

// minMTU is the least that IPv6 allows on a link (RFC 8200, section 5).
const minMTU = 1280

// tunnels collects the WireGuard half of a plan: devices, their peers, and the links. Clusters are
// added one by one.
type tunnels struct {
	in       Input
	own      []netip.Addr
	key      wireguard.PublicKey
	devices  map[v1alpha1.Lane]*wireguard.Device
	links    []Link
	warnings []Warning
}

func newTunnels(in Input, own []netip.Addr) *tunnels {
	return &tunnels{in: in, own: own, key: in.PrivateKey.Public(), devices: map[v1alpha1.Lane]*wireguard.Device{}}
}

// add adds the cluster's gateways, each to the device of its lane, and returns their links, by
// lane.
func (t *tunnels) add(c *cluster) []Link {
	gateways := slices.SortedFunc(slices.Values(c.gateways), func(a, b v1alpha1.RemoteGateway) int {
		return cmp.Or(cmp.Compare(a.Lane, b.Lane), cmp.Compare(a.Name, b.Name))
	})
	var links []Link
	for _, g := range gateways {
		if n := len(links); n > 0 && links[n-1].Lane == g.Lane {
			t.warn(c, g, "left out: it has the same lane %d as gateway %s", g.Lane, links[n-1].Gateway)
			continue
		}
		link, err := t.link(c, g)
		if err != nil {
			t.warn(c, g, "left out: %s", err)
			continue
		}
		device := t.device(g.Lane)
		device.Peers = append(device.Peers, wireguard.Peer{
			PublicKey: link.PublicKey, Endpoint: link.Endpoint, Keepalive: keepalive, AllowedIPs: c.prefixes,
		})
		links, t.links = append(links, link), append(t.links, link)
	}
	return links
}

func (t *tunnels) warn(c *cluster, g v1alpha1.RemoteGateway, format string, args ...any) {
	t.warnings = append(t.warnings, Warning{c.id, g.Name, fmt.Sprintf(format, args...)})
}

// link checks what a remote gateway says of itself.
func (t *tunnels) link(c *cluster, g v1alpha1.RemoteGateway) (Link, error) {
	if g.Lane < 0 || g.Lane >= v1alpha1.MaxLanes {
		return Link{}, fmt.Errorf("lane %d: want 0 to %d", g.Lane, v1alpha1.MaxLanes-1)
	}
	key, err := wireguard.ParsePublicKey(g.PublicKey)
	if err != nil {
		return Link{}, err
	}
	if err := t.unused(key, g.Lane); err != nil {
		return Link{}, err
	}
	endpoint, err := t.endpoint(g.Endpoints)
	if err != nil {
		return Link{}, err
	}
	return Link{
		LinkID: LinkID{c.id, g.Name}, Device: wireguard.DeviceName(int(g.Lane)), Lane: g.Lane,
		PublicKey: key, Endpoint: endpoint, TunnelAddress: clusterset.TunnelAddress(c.blocks[0], g.Lane),
	}, nil
}

// unused refuses a key that the device could not tell from another.
func (t *tunnels) unused(key wireguard.PublicKey, lane v1alpha1.Lane) error {
	if key == t.key {
		return fmt.Errorf("public key %s is this gateway's own: give each gateway a key of its own", key)
	}
	for _, l := range t.links {
		if l.Lane == lane && l.PublicKey == key {
			return fmt.Errorf("public key %s is that of gateway %s of cluster %s: give each gateway a key of its own",
				key, l.Gateway, l.Cluster)
		}
	}
	return nil
}

// endpoint is the address and port to send to. It is the first of the candidates that other
// clusters can reach and whose family this node has. The port is the one on which that gateway
// listens for our lane.
func (t *tunnels) endpoint(candidates []v1alpha1.Endpoint) (netip.AddrPort, error) {
	for _, c := range candidates {
		addr, err := netip.ParseAddr(string(c.Address))
		port := int64(c.Port) + int64(t.in.Lane)
		if err != nil || c.Port < 1 || port > 65535 {
			continue
		}
		if addr = addr.Unmap(); clusterset.FaultOf(addr) == "" && t.hasFamilyOf(addr) {
			return netip.AddrPortFrom(addr, uint16(port)), nil
		}
	}
	return netip.AddrPort{}, fmt.Errorf(
		"none of its endpoints %v can be used: want an IP address of a family that this node has (%v) and a base port of %d or less",
		candidates, t.in.Underlay, 65535-int(t.in.Lane))
}

// hasFamilyOf tells whether this node has an address of addr's family. If the input does not say,
// it has both.
func (t *tunnels) hasFamilyOf(addr netip.Addr) bool {
	return len(t.in.Underlay) == 0 || clusterset.OfFamily(t.in.Underlay, addr.Is4()).IsValid()
}

// device is the device for remote gateways with that lane.
func (t *tunnels) device(lane v1alpha1.Lane) *wireguard.Device {
	if d, ok := t.devices[lane]; ok {
		return d
	}
	d := &wireguard.Device{
		Name: wireguard.DeviceName(int(lane)), PrivateKey: t.in.PrivateKey, ListenPort: int(t.in.BasePort) + int(lane),
		MTU: max(t.in.MTU-clusterset.TunnelOverhead, minMTU), Addresses: t.own,
	}
	t.devices[lane] = d
	return d
}

// config is the devices by lane, and so by port, with their peers by key.
func (t *tunnels) config() wireguard.Config {
	var config wireguard.Config
	for _, lane := range slices.Sorted(maps.Keys(t.devices)) {
		d := *t.devices[lane]
		slices.SortFunc(d.Peers, func(x, y wireguard.Peer) int { return cmp.Compare(x.PublicKey.String(), y.PublicKey.String()) })
		config.Devices = append(config.Devices, d)
	}
	return config
}
