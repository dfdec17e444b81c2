package wireguard

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/wgctrl"
	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"github.com/tombolo-net/tombolo/gateway/wireguard/userspace"
	"github.com/tombolo-net/tombolo/internal/kernel/rtnl"
)

// sessionLifetime is how long after its handshake a session may carry data: REJECT_AFTER_TIME of
// the WireGuard paper.
const sessionLifetime = 180 * time.Second

// Devices is this network namespace's WireGuard devices. It is not safe for concurrent use.
type Devices struct {
	// published is the endpoint that was last given to each peer.
	published map[peerKey]netip.AddrPort
	// engine runs the userspace devices.
	engine *userspace.Engine
}

type peerKey struct {
	device string
	key    PublicKey
}

// New returns the devices of the network namespace that its methods are called in.
func New() *Devices {
	return &Devices{published: map[peerKey]netip.AddrPort{}, engine: userspace.New()}
}

// Run serves the userspace devices that Sync makes, until ctx ends; Sync waits for it. Their TUNs
// stay, and the next process adopts them. It opens UDP sockets in the network namespace that it is
// called in. It is safe beside the other methods.
func (d *Devices) Run(ctx context.Context) error { return d.engine.Run(ctx) }

// Sync makes the devices match want and returns what it changed. It is safe to repeat.
func (d *Devices) Sync(ctx context.Context, want Config) (Change, error) {
	have, err := d.Read(ctx)
	if err != nil {
		return Change{}, fmt.Errorf("reading WireGuard devices: %w", err)
	}
	change := Diff(have, want)
	if !change.Empty() {
		change, err = d.Apply(ctx, change)
	}
	if err == nil {
		d.remember(want)
	}
	return change, err
}

// remember remembers what want publishes as given to the kernel: it was applied, or something
// better is there.
func (d *Devices) remember(want Config) {
	clear(d.published)
	for _, device := range want.Devices {
		for _, p := range device.Peers {
			d.published[peerKey{device.Name, p.PublicKey}] = p.Endpoint
		}
	}
}

// Read returns every device that is ours. Without WireGuard in the kernel it returns no device and
// no error.
func (d *Devices) Read(ctx context.Context) (State, error) {
	links, err := ourLinks(ctx)
	if err != nil || len(links) == 0 {
		return State{}, err
	}
	client, err := wgctrl.New()
	if err != nil {
		return State{}, fmt.Errorf("opening WireGuard's netlink family: %w", err)
	}
	defer client.Close()
	var state State
	for _, link := range links {
		device, err := d.readDevice(ctx, client, link)
		if errors.Is(err, os.ErrNotExist) || rtnl.IsLinkNotFound(err) {
			continue // removed since the links were listed
		}
		if err != nil {
			return State{}, fmt.Errorf("reading device %s: %w", link.Attrs().Name, kernelError(err))
		}
		state.Devices = append(state.Devices, device)
	}
	return state, nil
}

func (d *Devices) readDevice(ctx context.Context, client *wgctrl.Client, link netlink.Link) (DeviceState, error) {
	name := link.Attrs().Name
	tun, _ := isUserspace(link)
	wg, err := client.Device(name)
	detached := tun && isDetached(err)
	if detached {
		wg, err = &wgtypes.Device{}, nil
	}
	if err != nil {
		return DeviceState{}, err
	}
	addrs, err := linkAddresses(ctx, link)
	if err != nil {
		return DeviceState{}, err
	}
	rpFilter, err := rtnl.ReadRPFilter(link)
	if err != nil {
		return DeviceState{}, err
	}
	state := DeviceState{
		Name: name, Userspace: tun, Detached: detached, PrivateKey: PrivateKey(wg.PrivateKey), ListenPort: wg.ListenPort,
		MTU: link.Attrs().MTU, Up: link.Attrs().Flags&net.FlagUp != 0, RPFilter: rpFilter, Addresses: addrs,
	}
	if runs, open := d.engine.Runs(name); detached || runs && !open {
		state.Up = false
	}
	for _, p := range wg.Peers {
		state.Peers = append(state.Peers, d.peerState(name, p))
	}
	slices.SortFunc(state.Peers, func(a, b PeerState) int { return compareKeys(a.PublicKey, b.PublicKey) })
	return state, nil
}

func (d *Devices) peerState(device string, p wgtypes.Peer) PeerState {
	state := PeerState{
		Peer:      Peer{PublicKey: p.PublicKey, Keepalive: p.PersistentKeepaliveInterval},
		Published: d.published[peerKey{device, p.PublicKey}],
		Alive:     !p.LastHandshakeTime.IsZero() && time.Since(p.LastHandshakeTime) < sessionLifetime,
		Received:  p.ReceiveBytes, Sent: p.TransmitBytes,
	}
	if !p.LastHandshakeTime.IsZero() {
		state.LastHandshake = p.LastHandshakeTime
	}
	if p.Endpoint != nil {
		ep := p.Endpoint.AddrPort()
		state.Endpoint = netip.AddrPortFrom(ep.Addr().Unmap(), ep.Port())
	}
	for _, n := range p.AllowedIPs {
		state.AllowedIPs = append(state.AllowedIPs, rtnl.Prefix(&n))
	}
	slices.SortFunc(state.AllowedIPs, netip.Prefix.Compare)
	return state
}

// Apply makes the change. It tries every part, and returns what it applied and the joined errors of
// the rest. It makes devices before it removes any.
func (d *Devices) Apply(ctx context.Context, change Change) (Change, error) {
	var done Change
	var errs []error
	for _, c := range change.Devices {
		if err := d.applyDevice(ctx, c); err != nil {
			errs = append(errs, err)
			continue
		}
		done.Devices = append(done.Devices, c)
	}
	for _, name := range change.Remove {
		if err := d.removeLink(name); err != nil {
			errs = append(errs, err)
			continue
		}
		done.Remove = append(done.Remove, name)
	}
	return done, errors.Join(errs...)
}

// applyDevice configures the peers before the link comes up, so that the first packet finds its
// peer.
func (d *Devices) applyDevice(ctx context.Context, c DeviceChange) error {
	link, err := d.linkOf(ctx, c)
	if err != nil {
		return err
	}
	if c.configures() {
		if err := d.configure(ctx, c); err != nil {
			return err
		}
	}
	if c.changesLink() {
		if err := changeLink(link, c); err != nil {
			return err
		}
	}
	if tun, _ := isUserspace(link); tun && c.SetUp {
		return d.engine.Up(c.Name)
	}
	return nil
}

func (d *Devices) linkOf(ctx context.Context, c DeviceChange) (netlink.Link, error) {
	if c.Replace {
		if err := d.removeLink(c.Name); err != nil {
			return nil, err
		}
	}
	switch {
	case c.Create && c.Userspace:
		if err := d.engine.Start(ctx, c.Name, c.MTU); err != nil {
			return nil, kernelError(err)
		}
	case c.Create:
		return addLink(c.Name)
	}
	return findLink(c.Name)
}

// configure sends the difference in one call, which the library splits above 32 peers or 256
// prefixes. Each part is complete in itself.
func (d *Devices) configure(ctx context.Context, c DeviceChange) error {
	if _, open := d.engine.Runs(c.Name); open && c.ListenPort != nil {
		if err := checkPort(ctx, *c.ListenPort); err != nil {
			return fmt.Errorf("configuring %s: %w", c.Name, err)
		}
	}
	client, err := wgctrl.New()
	if err != nil {
		return fmt.Errorf("opening WireGuard's netlink family: %w", err)
	}
	defer client.Close()
	if err := client.ConfigureDevice(c.Name, deviceConfig(c)); err != nil {
		return fmt.Errorf("configuring %s: %w", c.Name, errors.Join(kernelError(err), d.engine.SocketError(c.Name)))
	}
	return nil
}

func deviceConfig(c DeviceChange) wgtypes.Config {
	cfg := wgtypes.Config{ListenPort: c.ListenPort}
	if c.PrivateKey != nil {
		key := wgtypes.Key(*c.PrivateKey)
		cfg.PrivateKey = &key
	}
	cfg.Peers = prefixRemovals(c.RemovePrefixes)
	for _, p := range c.Peers {
		peer := wgtypes.PeerConfig{
			PublicKey: p.PublicKey, Remove: p.Remove, UpdateOnly: !p.Add,
			PersistentKeepaliveInterval: p.Keepalive, AllowedIPs: ipNets(p.AllowedIPs),
		}
		if p.Endpoint.IsValid() {
			peer.Endpoint = net.UDPAddrFromAddrPort(p.Endpoint)
		}
		cfg.Peers = append(cfg.Peers, peer)
	}
	return cfg
}

// prefixRemovals removes prefixes from their peers. The kernel cannot remove them one by one
// without a gap for the prefixes that stay. But a prefix moves to the peer that names it last. So a
// peer that does not exist gets all of them, and they go with it.
func prefixRemovals(prefixes []netip.Prefix) []wgtypes.PeerConfig {
	if len(prefixes) == 0 {
		return nil
	}
	absent := PublicKey(sha256.Sum256([]byte("tombolo: the peer that takes prefixes away")))
	return []wgtypes.PeerConfig{
		{PublicKey: absent, AllowedIPs: ipNets(prefixes)},
		{PublicKey: absent, UpdateOnly: true, Remove: true},
	}
}

func ipNets(prefixes []netip.Prefix) []net.IPNet {
	nets := make([]net.IPNet, 0, len(prefixes))
	for _, p := range prefixes {
		nets = append(nets, *rtnl.IPNet(p))
	}
	return nets
}

// kernelError adds the sentence with the remedy to errors that have one.
func kernelError(err error) error {
	switch {
	case errors.Is(err, unix.EOPNOTSUPP):
		return fmt.Errorf("%w (%w)", ErrNoKernelSupport, err)
	case !rtnl.MayChangeNetwork() && (errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES)):
		return fmt.Errorf("%w (%w)", ErrNotPermitted, err)
	}
	return err
}
