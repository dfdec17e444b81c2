package plan

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/gateway/wireguard"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/internal/kernel/route"
)

// keepalive is the interval of packets that keep NATs and firewalls on the way open: most forget after 30 s.
const keepalive = 25 * time.Second

// minMTU is the least that IPv6 allows on a link (RFC 8200, section 5).
const minMTU = 1280

// ErrNoIndex means that the hub has not told this cluster's index yet, so that there are no addresses to use.
var ErrNoIndex = errors.New("this cluster has no index yet: it comes from its Member on the hub")

// Config is what the gateway's node is to look like.
type Config struct {
	WireGuard wireguard.Config
	Routes    route.Config
	// Links to probe, by ID.
	Links []Link
	// TunnelAddresses are this gateway's own, IPv4 first.
	TunnelAddresses []netip.Addr
	// Warnings, sorted.
	Warnings []Warning
}

// Link is one link of this gateway.
type Link struct {
	LinkID
	// Device that the link uses.
	Device string
	Lane   v1alpha1.Lane
	// PublicKey of the remote gateway.
	PublicKey wireguard.PublicKey
	// Endpoint that packets to the remote gateway go to, unless WireGuard has learned a better one.
	Endpoint netip.AddrPort
	// TunnelAddress of the remote gateway that answers probes.
	TunnelAddress netip.Addr
}

// Warning says why a part of a remote cluster is left out, and what to do about it.
type Warning struct {
	Cluster v1alpha1.ClusterID
	// Gateway is empty if the warning is about the whole cluster.
	Gateway string
	Message string
}

// TunnelAddresses are a gateway's addresses inside the tunnels, IPv4 first. The error is ErrNoIndex or names what does
// not fit.
func TunnelAddresses(transit v1alpha1.CIDR, clusterSetID string, index int32, lane v1alpha1.Lane) ([]netip.Addr, error) {
	blocks, err := transitBlocks(transit, clusterSetID, index)
	if err != nil {
		return nil, err
	}
	addrs := make([]netip.Addr, 0, len(blocks))
	for _, b := range blocks {
		addrs = append(addrs, clusterset.TunnelAddress(b, lane))
	}
	return addrs, nil
}

// transitBlocks are a Member's blocks, IPv4 first.
func transitBlocks(transit v1alpha1.CIDR, clusterSetID string, index int32) ([]netip.Prefix, error) {
	if index == 0 {
		return nil, ErrNoIndex
	}
	cidr, ok := parseCIDR(transit)
	if !ok {
		return nil, fmt.Errorf("transit CIDR %q: want an IPv4 CIDR without host bits, such as 245.0.0.0/8", transit)
	}
	block, err := clusterset.TransitBlock(cidr, index)
	if err != nil {
		return nil, err
	}
	return []netip.Prefix{block, clusterset.TransitBlock6(clusterSetID, index)}, nil
}

// New is the plan for in. The error is about this cluster itself, and then there is no plan; what is wrong with a
// remote one is a warning.
func New(in Input) (Config, error) {
	own, err := TunnelAddresses(in.Transit, in.ClusterSetID, in.Index, in.Lane)
	if err != nil {
		return Config{}, err
	}
	b := newBuilder(in, own)
	for _, r := range bySeniority(in.Remotes) {
		b.addRemote(r)
	}
	return b.config(), nil
}

// builder collects a plan. Remotes are added one by one, the senior first.
type builder struct {
	in      Input
	own     []netip.Addr
	key     wireguard.PublicKey
	taken   []claim
	devices map[v1alpha1.Lane]*wireguard.Device
	cfg     Config
}

// claim is a prefix and who has it.
type claim struct {
	prefix netip.Prefix
	holder string
}

func newBuilder(in Input, own []netip.Addr) *builder {
	b := &builder{in: in, own: own, key: in.PrivateKey.Public(), devices: map[v1alpha1.Lane]*wireguard.Device{}}
	holder := fmt.Sprintf("this cluster (%s)", in.ClusterID)
	for _, c := range in.CIDRs {
		if p, ok := parseCIDR(c); ok {
			b.taken = append(b.taken, claim{p, holder})
		}
	}
	blocks, _ := transitBlocks(in.Transit, in.ClusterSetID, in.Index)
	for _, p := range blocks {
		b.taken = append(b.taken, claim{p, holder})
	}
	return b
}

func (b *builder) warn(cluster v1alpha1.ClusterID, gateway, format string, args ...any) {
	b.cfg.Warnings = append(b.cfg.Warnings, Warning{cluster, gateway, fmt.Sprintf(format, args...)})
}

// addRemote adds a cluster's peers and routes, or a warning if it collides with one that is there.
func (b *builder) addRemote(r Remote) {
	if len(r.CIDRs) == 0 && len(r.Gateways) == 0 {
		return // a newcomer that the operator does not accept
	}
	blocks, err := transitBlocks(b.in.Transit, b.in.ClusterSetID, r.Index)
	if err != nil {
		b.warn(r.ClusterID, "", "left out: %s", err)
		return
	}
	prefixes := append(b.prefixes(r), blocks...)
	slices.SortFunc(prefixes, netip.Prefix.Compare)
	prefixes = slices.Compact(prefixes)
	if p, c, collides := b.collision(prefixes); collides {
		b.warn(r.ClusterID, "", "left out: its prefix %s overlaps %s of %s; correct spec.cidrs of one of the Members",
			p, c.prefix, c.holder)
		return
	}
	for _, p := range prefixes {
		b.taken = append(b.taken, claim{p, string(r.ClusterID)})
	}
	links := b.addPeers(r, prefixes, blocks)
	b.addRoutes(prefixes, blocks, links)
	b.cfg.Links = append(b.cfg.Links, links...)
}

// prefixes are the cluster's CIDRs that can be read; the others get a warning.
func (b *builder) prefixes(r Remote) []netip.Prefix {
	var prefixes []netip.Prefix
	for _, c := range r.CIDRs {
		p, ok := parseCIDR(c)
		if !ok {
			b.warn(r.ClusterID, "", "CIDR %q is left out: want a CIDR without host bits, such as 10.1.0.0/16", c)
			continue
		}
		prefixes = append(prefixes, p)
	}
	return prefixes
}

// collision finds the first of the prefixes that overlaps one that is taken.
func (b *builder) collision(prefixes []netip.Prefix) (netip.Prefix, claim, bool) {
	for _, p := range prefixes {
		for _, c := range b.taken {
			if p.Overlaps(c.prefix) {
				return p, c, true
			}
		}
	}
	return netip.Prefix{}, claim{}, false
}

// addPeers adds the cluster's gateways, each to the device of its lane, and returns their links, by lane.
func (b *builder) addPeers(r Remote, prefixes, blocks []netip.Prefix) []Link {
	gateways := slices.SortedFunc(slices.Values(r.Gateways), func(a, c v1alpha1.RemoteGateway) int {
		return cmp.Or(cmp.Compare(a.Lane, c.Lane), cmp.Compare(a.Name, c.Name))
	})
	var links []Link
	for _, g := range gateways {
		if n := len(links); n > 0 && links[n-1].Lane == g.Lane {
			b.warn(r.ClusterID, g.Name, "left out: it has the same lane %d as gateway %s", g.Lane, links[n-1].Gateway)
			continue
		}
		link, err := b.link(r, g, blocks)
		if err != nil {
			b.warn(r.ClusterID, g.Name, "left out: %s", err)
			continue
		}
		device := b.device(g.Lane)
		device.Peers = append(device.Peers, wireguard.Peer{
			PublicKey: link.PublicKey, Endpoint: link.Endpoint, Keepalive: keepalive, AllowedIPs: prefixes,
		})
		links = append(links, link)
	}
	return links
}

// link checks what a remote gateway says of itself.
func (b *builder) link(r Remote, g v1alpha1.RemoteGateway, blocks []netip.Prefix) (Link, error) {
	if g.Lane < 0 || g.Lane >= v1alpha1.MaxLanes {
		return Link{}, fmt.Errorf("lane %d: want 0 to %d", g.Lane, v1alpha1.MaxLanes-1)
	}
	key, err := wireguard.ParsePublicKey(g.PublicKey)
	if err != nil {
		return Link{}, err
	}
	if err := b.unused(key, g.Lane); err != nil {
		return Link{}, err
	}
	endpoint, err := b.endpoint(g.Endpoints)
	if err != nil {
		return Link{}, err
	}
	return Link{
		LinkID: LinkID{r.ClusterID, g.Name}, Device: wireguard.DeviceName(int(g.Lane)), Lane: g.Lane,
		PublicKey: key, Endpoint: endpoint, TunnelAddress: clusterset.TunnelAddress(blocks[0], g.Lane),
	}, nil
}

// unused refuses a key that the device could not tell from another.
func (b *builder) unused(key wireguard.PublicKey, lane v1alpha1.Lane) error {
	if key == b.key {
		return fmt.Errorf("public key %s is this gateway's own: give each gateway a key of its own", key)
	}
	for _, l := range b.cfg.Links {
		if l.Lane == lane && l.PublicKey == key {
			return fmt.Errorf("public key %s is that of gateway %s of cluster %s: give each gateway a key of its own",
				key, l.Gateway, l.Cluster)
		}
	}
	return nil
}

// endpoint is where to send to: the first of the candidates that can be read and that this node has an address of the
// same family for, at the port on which that gateway hears our lane.
func (b *builder) endpoint(candidates []v1alpha1.Endpoint) (netip.AddrPort, error) {
	for _, c := range candidates {
		addr, err := netip.ParseAddr(string(c.Address))
		port := int64(c.Port) + int64(b.in.Lane)
		if err != nil || addr.IsUnspecified() || addr.IsMulticast() || addr.Zone() != "" || c.Port < 1 || port > 65535 {
			continue
		}
		if addr = addr.Unmap(); b.reaches(addr) {
			return netip.AddrPortFrom(addr, uint16(port)), nil
		}
	}
	return netip.AddrPort{}, fmt.Errorf(
		"none of its endpoints %v can be used: want an IP address of a family that this node has (%v) and a base port of %d or less",
		candidates, b.in.Underlay, 65535-int(b.in.Lane))
}

// reaches tells whether this node has an address of addr's family; who has not said has both.
func (b *builder) reaches(addr netip.Addr) bool {
	return len(b.in.Underlay) == 0 ||
		slices.ContainsFunc(b.in.Underlay, func(own netip.Addr) bool { return own.Is4() == addr.Is4() })
}

// device is the device for remote gateways with that lane.
func (b *builder) device(lane v1alpha1.Lane) *wireguard.Device {
	if d, ok := b.devices[lane]; ok {
		return d
	}
	d := &wireguard.Device{
		Name: wireguard.DeviceName(int(lane)), PrivateKey: b.in.PrivateKey, ListenPort: int(b.in.BasePort) + int(lane),
		MTU: max(b.in.MTU-clusterset.TunnelOverhead, minMTU), Addresses: b.own,
	}
	b.devices[lane] = d
	return d
}

// addRoutes routes the cluster's prefixes over the links that are usable. If none is, over all of them: probes may be
// lost where packets are not, as on a gateway that is short of CPU, and to withdraw the last way would make an outage of
// a slow moment. Without any link they are refused: what is for a remote cluster never leaves by another way, in clear.
// The remote gateways' own addresses are routed by their links alone, usable or not, for the probes.
func (b *builder) addRoutes(prefixes, blocks []netip.Prefix, links []Link) {
	devices := devicesOf(links, func(l Link) bool { return b.in.Usable[l.LinkID] })
	if len(devices) == 0 {
		devices = devicesOf(links, func(Link) bool { return true })
	}
	for _, p := range prefixes {
		b.addRoute(p, route.Unreachable, nil)
		if len(devices) > 0 {
			b.addRoute(p, route.Unicast, devices)
		}
	}
	for _, l := range links {
		for _, block := range blocks {
			addr := clusterset.TunnelAddress(block, l.Lane)
			b.addRoute(netip.PrefixFrom(addr, addr.BitLen()), route.Unicast, []string{l.Device})
		}
	}
}

// devicesOf are the devices of the links that fit, sorted.
func devicesOf(links []Link, fits func(Link) bool) []string {
	var devices []string
	for _, l := range links {
		if fits(l) {
			devices = append(devices, l.Device)
		}
	}
	slices.Sort(devices)
	return devices
}

func (b *builder) addRoute(dst netip.Prefix, kind route.Type, devices []string) {
	r := route.Route{Key: route.Key{Table: route.TableTunnels, Destination: dst, Metric: route.MetricUnreachable}, Type: kind}
	if kind == route.Unicast {
		r.Metric, r.Hops, r.Source = route.MetricUnicast, nextHops(dst, devices), b.source(dst)
	}
	b.cfg.Routes.Routes = append(b.cfg.Routes.Routes, r)
}

// nextHops share the flows among the devices. On IPv6 the kernel does that only among next hops that have a gateway
// (ip6_route_multipath_add in net/ipv6/route.c). So they get a link-local one that no host has: WireGuard goes by the
// packet's destination. On IPv4 there is no gateway.
func nextHops(dst netip.Prefix, devices []string) []route.NextHop {
	hops := route.Over(devices...)
	for i := range hops {
		if dst.Addr().Is6() {
			hops[i].Gateway = netip.MustParseAddr("fe80::1")
		}
	}
	return hops
}

// source is our tunnel address of the destination's family.
func (b *builder) source(dst netip.Prefix) netip.Addr {
	for _, a := range b.own {
		if a.Is4() == dst.Addr().Is4() {
			return a
		}
	}
	return netip.Addr{}
}

// addRules leads to the table of the routes, in each family that has one.
func (b *builder) addRules() {
	for _, is6 := range []bool{false, true} {
		if slices.ContainsFunc(b.cfg.Routes.Routes, func(r route.Route) bool { return r.Destination.Addr().Is6() == is6 }) {
			b.cfg.Routes.Rules = append(b.cfg.Routes.Rules,
				route.Rule{Priority: route.TableTunnels, Table: route.TableTunnels, IPv6: is6})
		}
	}
}

// addBypasses lets the tunnels' own packets go by the main table, where a remote cluster's CIDRs hold the addresses of
// gateways: those of its nodes may be among them.
func (b *builder) addBypasses() {
	for _, l := range b.cfg.Links {
		covered := slices.ContainsFunc(b.cfg.Routes.Routes, func(r route.Route) bool { return r.Destination.Contains(l.Endpoint.Addr()) })
		if rule := bypass(l.Endpoint); covered && !slices.Contains(b.cfg.Routes.Rules, rule) {
			b.cfg.Routes.Rules = append(b.cfg.Routes.Rules, rule)
		}
	}
}

// bypass is the rule for what is sent to the end of a tunnel. It also holds for the reverse look-up of what comes from
// there, for which the kernel swaps addresses and ports (__fib_validate_source in net/ipv4/fib_frontend.c).
func bypass(endpoint netip.AddrPort) route.Rule {
	addr := endpoint.Addr()
	return route.Rule{
		Priority: route.PriorityBypass, Table: route.TableMain, IPv6: addr.Is6(), To: netip.PrefixFrom(addr, addr.BitLen()),
		Protocol: protocolUDP, Port: endpoint.Port(),
	}
}

// protocolUDP is UDP's number among IP protocols.
const protocolUDP = 17

// config sorts what was collected.
func (b *builder) config() Config {
	b.addRules()
	b.addBypasses()
	for _, d := range b.devices {
		slices.SortFunc(d.Peers, func(x, y wireguard.Peer) int { return cmp.Compare(x.PublicKey.String(), y.PublicKey.String()) })
		b.cfg.WireGuard.Devices = append(b.cfg.WireGuard.Devices, *d)
	}
	slices.SortFunc(b.cfg.WireGuard.Devices, func(x, y wireguard.Device) int { return cmp.Compare(x.ListenPort, y.ListenPort) })
	slices.SortFunc(b.cfg.Routes.Routes, func(x, y route.Route) int { return x.Compare(y.Key) })
	slices.SortFunc(b.cfg.Routes.Rules, route.Rule.Compare)
	slices.SortFunc(b.cfg.Links, func(x, y Link) int { return x.compare(y.LinkID) })
	slices.SortFunc(b.cfg.Warnings, func(x, y Warning) int {
		return cmp.Or(cmp.Compare(x.Cluster, y.Cluster), cmp.Compare(x.Gateway, y.Gateway), cmp.Compare(x.Message, y.Message))
	})
	b.cfg.TunnelAddresses = b.own
	return b.cfg
}
