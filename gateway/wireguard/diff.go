package wireguard

import (
	"net/netip"
	"slices"
	"time"
)

// Change is the difference between what is and what is wanted. The zero value changes nothing.
type Change struct {
	// Devices to create or change, by name.
	Devices []DeviceChange
	// Remove names the devices that are no longer wanted.
	Remove []string
}

// Empty reports whether there is nothing to do.
func (c Change) Empty() bool { return len(c.Devices) == 0 && len(c.Remove) == 0 }

// ChangesLinks reports whether links come, go or change. What only WireGuard has of them does not count.
// With a link the kernel removes its routes.
func (c Change) ChangesLinks() bool {
	return len(c.Remove) > 0 || slices.ContainsFunc(c.Devices, func(d DeviceChange) bool { return d.Create || d.changesLink() })
}

// WithoutEndpoints is the change without what only gives peers other endpoints. Endpoints change while a
// Config stays. The kernel learns them from packets, and published ones are tried when a session ends.
func (c Change) WithoutEndpoints() Change {
	rest := Change{Remove: c.Remove}
	for _, d := range c.Devices {
		peers := d.Peers
		d.Peers = nil
		for i, p := range peers {
			again := p.Remove && i+1 < len(peers) && peers[i+1].Add && peers[i+1].PublicKey == p.PublicKey ||
				p.Add && i > 0 && peers[i-1].Remove && peers[i-1].PublicKey == p.PublicKey
			if !again && (p.Add || p.Remove || p.Keepalive != nil || len(p.AllowedIPs) > 0) {
				d.Peers = append(d.Peers, p)
			}
		}
		if !d.empty() {
			rest.Devices = append(rest.Devices, d)
		}
	}
	return rest
}

// DeviceChange is the difference of one device. A field with its zero value changes nothing.
type DeviceChange struct {
	Name string
	// Replace: remove the link of the other kind first.
	Replace bool
	// Create the link first. A TUN that is there is adopted.
	Create bool
	// Userspace says which kind of link to create.
	Userspace  bool
	PrivateKey *PrivateKey
	ListenPort *int
	MTU        int
	// SetUp brings the link up.
	SetUp bool
	// LooseRPFilter sets the link's rp_filter to loose.
	LooseRPFilter   bool
	AddAddresses    []netip.Addr
	RemoveAddresses []netip.Addr
	Peers           []PeerChange
	// RemovePrefixes leave their peer and go to no other.
	RemovePrefixes []netip.Prefix
}

func (c DeviceChange) empty() bool { return !c.Create && !c.configures() && !c.changesLink() }

// configures reports whether WireGuard itself has something to change, not only the link.
func (c DeviceChange) configures() bool {
	return c.PrivateKey != nil || c.ListenPort != nil || len(c.Peers) > 0 || len(c.RemovePrefixes) > 0
}

func (c DeviceChange) changesLink() bool {
	return c.MTU != 0 || c.SetUp || c.LooseRPFilter || len(c.AddAddresses) > 0 || len(c.RemoveAddresses) > 0
}

// PeerChange is the difference of one peer.
type PeerChange struct {
	PublicKey PublicKey
	// Add the peer: it is not there.
	Add bool
	// Remove the peer; the other fields are then zero.
	Remove bool
	// Endpoint to set; not valid: keep what is there.
	Endpoint netip.AddrPort
	// Keepalive to set; nil: keep what is there.
	Keepalive *time.Duration
	// AllowedIPs to add. A peer that held such a prefix loses it in the same instant.
	AllowedIPs []netip.Prefix
}

// Diff is the change that makes have into want. Peers that stay keep their sessions, and prefixes
// that stay keep their peer.
func Diff(have State, want Config) Change {
	var change Change
	for _, w := range want.Devices {
		h, exists := have.Device(w.Name)
		replace := exists && h.Userspace != want.Userspace
		if replace {
			h, exists = DeviceState{}, false
		}
		c := diffDevice(h, w)
		c.Replace, c.Create = replace, !exists || h.Detached
		c.Userspace = c.Create && want.Userspace
		if !c.empty() {
			change.Devices = append(change.Devices, c)
		}
	}
	for _, h := range have.Devices {
		if !slices.ContainsFunc(want.Devices, func(w Device) bool { return w.Name == h.Name }) {
			change.Remove = append(change.Remove, h.Name)
		}
	}
	return change
}

func diffDevice(have DeviceState, want Device) DeviceChange {
	c := DeviceChange{
		Name:            want.Name,
		SetUp:           !have.Up,
		LooseRPFilter:   have.RPFilter != rpFilter,
		AddAddresses:    without(want.Addresses, have.Addresses),
		RemoveAddresses: without(have.Addresses, want.Addresses),
		Peers:           diffPeers(have.Peers, want.Peers),
		RemovePrefixes:  prefixesToRemove(have.Peers, want.Peers),
	}
	if have.PrivateKey != want.PrivateKey {
		c.PrivateKey = &want.PrivateKey
	}
	if have.ListenPort != want.ListenPort {
		c.ListenPort = &want.ListenPort
	}
	if have.MTU != want.MTU {
		c.MTU = want.MTU
	}
	return c
}

// diffPeers lists removals first: a peer that goes frees its prefixes for the ones that come. A peer
// that is added again follows its own removal.
func diffPeers(have []PeerState, want []Peer) []PeerChange {
	var changes []PeerChange
	for _, h := range have {
		if !slices.ContainsFunc(want, func(w Peer) bool { return w.PublicKey == h.PublicKey }) {
			changes = append(changes, PeerChange{PublicKey: h.PublicKey, Remove: true})
		}
	}
	for _, w := range want {
		i := slices.IndexFunc(have, func(h PeerState) bool { return h.PublicKey == w.PublicKey })
		if i < 0 {
			changes = append(changes, newPeer(w))
			continue
		}
		if !have[i].Alive && rewritesEndpoint(have[i], w.Endpoint) {
			// After a handshake that was not answered the kernel waits for up to 5 s, whatever the endpoint
			// then. It forgets that with the peer, and without a session there is nothing else to lose.
			changes = append(changes, PeerChange{PublicKey: w.PublicKey, Remove: true}, newPeer(w))
			continue
		}
		if c, changed := diffPeer(have[i], w); changed {
			changes = append(changes, c)
		}
	}
	return changes
}

// newPeer adds the peer.
func newPeer(w Peer) PeerChange {
	return PeerChange{PublicKey: w.PublicKey, Add: true, Endpoint: w.Endpoint, Keepalive: &w.Keepalive, AllowedIPs: w.AllowedIPs}
}

func diffPeer(have PeerState, want Peer) (c PeerChange, changed bool) {
	c = PeerChange{PublicKey: want.PublicKey, AllowedIPs: without(want.AllowedIPs, have.AllowedIPs)}
	if rewritesEndpoint(have, want.Endpoint) {
		c.Endpoint = want.Endpoint
	}
	if have.Keepalive != want.Keepalive {
		c.Keepalive = &want.Keepalive
	}
	return c, c.Endpoint.IsValid() || c.Keepalive != nil || len(c.AllowedIPs) > 0
}

// rewritesEndpoint reports whether the published endpoint replaces the kernel's. The kernel may
// have learned its endpoint from a packet of the peer. Then it is the better one, and stays as long
// as it carries a session, unless the peer has published another since this process last read it. A
// process that has just started does not know what was published before. So it keeps the endpoint
// of a session that is alive. If the peer has moved meanwhile, its own packets show the kernel
// where, or the session dies and the published endpoint is tried.
func rewritesEndpoint(have PeerState, published netip.AddrPort) bool {
	if !published.IsValid() || have.Endpoint == published {
		return false
	}
	return !have.Alive || have.Published.IsValid() && have.Published != published
}

// prefixesToRemove are the prefixes that no peer should hold any more, of a peer that stays. A
// prefix that goes to another peer is not among them: adding it there moves it.
func prefixesToRemove(have []PeerState, want []Peer) []netip.Prefix {
	var wanted []netip.Prefix
	for _, w := range want {
		wanted = append(wanted, w.AllowedIPs...)
	}
	var gone []netip.Prefix
	for _, h := range have {
		if slices.ContainsFunc(want, func(w Peer) bool { return w.PublicKey == h.PublicKey }) {
			gone = append(gone, without(h.AllowedIPs, wanted)...)
		}
	}
	return gone
}

// without returns the elements of a that are not in b, in a's order. It returns nil if all are in
// b.
func without[T comparable](a, b []T) []T {
	var rest []T
	for _, x := range a {
		if !slices.Contains(b, x) {
			rest = append(rest, x)
		}
	}
	return rest
}
