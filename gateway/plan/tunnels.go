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

// keyShown is how many characters of what should be a key are shown: all of a key's.
const keyShown = 44

// minMTU is the least that IPv6 allows on a link (RFC 8200, section 5).
const minMTU = 1280

// builder collects the devices, their peers, and the links. Clusters are added one by one.
type builder struct {
	in       Input
	own      []netip.Addr
	key      wireguard.PublicKey
	devices  map[v1alpha1.Lane]*wireguard.Device
	links    []Link
	warnings []Warning
}

func newBuilder(in Input, own []netip.Addr) *builder {
	return &builder{in: in, own: own, key: in.PrivateKey.Public(), devices: map[v1alpha1.Lane]*wireguard.Device{}}
}

// add adds the cluster's gateways, each to the device of its lane, and returns their links, by
// lane.
func (b *builder) add(c accepted) []Link {
	gateways := slices.SortedFunc(slices.Values(c.gateways), func(a, b v1alpha1.RemoteGateway) int {
		return cmp.Or(cmp.Compare(a.Lane, b.Lane), cmp.Compare(a.Name, b.Name))
	})
	var links []Link
	for _, g := range gateways {
		if n := len(links); n > 0 && links[n-1].Lane == g.Lane {
			b.warn(c, g, "left out: it has the same lane %d as gateway %s", g.Lane, links[n-1].Gateway)
			continue
		}
		link, err := b.link(c, g)
		if err != nil {
			b.warn(c, g, "left out: %s", err)
			continue
		}
		device := b.device(g.Lane)
		device.Peers = append(device.Peers, wireguard.Peer{
			PublicKey: link.PublicKey, Endpoint: link.Endpoint, Keepalive: keepalive, AllowedIPs: c.Prefixes,
		})
		links, b.links = append(links, link), append(b.links, link)
	}
	return links
}

func (b *builder) warn(c accepted, g v1alpha1.RemoteGateway, format string, args ...any) {
	b.warnings = append(b.warnings, Warning{c.ID, g.Name, fmt.Sprintf(format, args...)})
}

// link checks what a remote gateway says of itself.
func (b *builder) link(c accepted, g v1alpha1.RemoteGateway) (Link, error) {
	if g.Lane < 0 || g.Lane >= v1alpha1.MaxLanes {
		return Link{}, fmt.Errorf("lane %d: want 0 to %d", g.Lane, v1alpha1.MaxLanes-1)
	}
	if fault := clusterset.KeyFault(g.PublicKey); fault != "" {
		return Link{}, fmt.Errorf("public key %q %s", clusterset.Clip(g.PublicKey, keyShown), fault)
	}
	key, err := wireguard.ParsePublicKey(g.PublicKey)
	if err != nil {
		return Link{}, err
	}
	if err := b.unused(key, g.Lane); err != nil {
		return Link{}, err
	}
	id := LinkID{c.ID, g.Name}
	endpoints, err := b.endpoints(g.Endpoints)
	if err != nil {
		return Link{}, err
	}
	endpoint := endpoints[0]
	if chosen := b.in.Endpoints[id]; slices.Contains(endpoints, chosen) {
		endpoint = chosen
	}
	return Link{
		LinkID: id, Device: wireguard.DeviceName(int(g.Lane)), Lane: g.Lane,
		PublicKey: key, Endpoint: endpoint, Endpoints: endpoints, TunnelAddress: clusterset.TunnelAddress(c.Blocks[0], g.Lane),
	}, nil
}

// unused refuses a key that the device could not tell from another.
func (b *builder) unused(key wireguard.PublicKey, lane v1alpha1.Lane) error {
	if key == b.key {
		return fmt.Errorf("public key %s is this gateway's own: give each gateway a key of its own", key)
	}
	for _, l := range b.links {
		if l.Lane == lane && l.PublicKey == key {
			return fmt.Errorf("public key %s is that of gateway %s of cluster %s: give each gateway a key of its own",
				key, l.Gateway, l.Cluster)
		}
	}
	return nil
}

// endpoints are the addresses and ports to send to: those of the candidates that other clusters can
// reach and whose family this node has, in their order. The port is the one on which that gateway
// listens for our lane.
func (b *builder) endpoints(candidates []v1alpha1.Endpoint) ([]netip.AddrPort, error) {
	var usable []netip.AddrPort
	for _, c := range candidates {
		addr, err := netip.ParseAddr(string(c.Address))
		port := int64(c.Port) + int64(b.in.Lane)
		if err != nil || c.Port < 1 || port > 65535 {
			continue
		}
		endpoint := netip.AddrPortFrom(addr.Unmap(), uint16(port))
		if addr = addr.Unmap(); clusterset.FaultOf(addr) == "" && b.hasFamilyOf(addr) && !slices.Contains(usable, endpoint) {
			usable = append(usable, endpoint)
		}
	}
	if len(usable) > 0 {
		return usable, nil
	}
	return nil, fmt.Errorf(
		"none of its endpoints %v can be used: want an IP address of a family that this node has (%v) and a base port of %d or less",
		candidates, b.in.Underlay, 65535-int(b.in.Lane))
}

// hasFamilyOf tells whether this node has an address of addr's family. If the input does not say,
// it has both.
func (b *builder) hasFamilyOf(addr netip.Addr) bool {
	return len(b.in.Underlay) == 0 || clusterset.OfFamily(b.in.Underlay, addr.Is4()).IsValid()
}

// tunnelMTU is the MTU of the tunnels over an underlay with that MTU, in bytes.
func tunnelMTU(underlay int) int { return max(underlay-clusterset.TunnelOverhead, minMTU) }

// device is the device for remote gateways with that lane.
func (b *builder) device(lane v1alpha1.Lane) *wireguard.Device {
	if d, ok := b.devices[lane]; ok {
		return d
	}
	d := &wireguard.Device{
		Name: wireguard.DeviceName(int(lane)), PrivateKey: b.in.PrivateKey, ListenPort: int(b.in.BasePort) + int(lane),
		MTU: tunnelMTU(b.in.MTU), Addresses: b.own,
	}
	b.devices[lane] = d
	return d
}

// config is the devices by lane, and so by port, with their peers by key.
func (b *builder) config() wireguard.Config {
	config := wireguard.Config{Userspace: b.in.Userspace}
	for _, lane := range slices.Sorted(maps.Keys(b.devices)) {
		d := *b.devices[lane]
		slices.SortFunc(d.Peers, func(x, y wireguard.Peer) int { return cmp.Compare(x.PublicKey.String(), y.PublicKey.String()) })
		config.Devices = append(config.Devices, d)
	}
	return config
}
