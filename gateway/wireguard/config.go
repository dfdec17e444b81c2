package wireguard

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.zx2c4.com/wireguard/wgctrl/wgtypes"

	"github.com/tombolo-net/tombolo/gateway/wireguard/userspace"
	"github.com/tombolo-net/tombolo/internal/kernel/rtnl"
	"github.com/tombolo-net/tombolo/internal/kernel/tunnel"
)

// Errors that callers distinguish.
var (
	// ErrNoKernelSupport: the kernel knows no links of type wireguard.
	ErrNoKernelSupport = errors.New("the kernel has no WireGuard: load the module (modprobe wireguard) or use a kernel that has it")
	// ErrNoTUN: this process cannot serve devices, because it cannot use /dev/net/tun.
	ErrNoTUN = userspace.ErrNoTUN
	// ErrNotPermitted: this process may not change links.
	ErrNotPermitted = errors.New("this process may not change the network: " + rtnl.NeedsNetAdmin)
)

// rpFilter is what a tunnel gets (RFC 3704). The peer's allowed IPs have checked the source already,
// and while two gateways do not yet agree which of their links are up, a packet may come by one that
// this side no longer sends by.
const rpFilter = rtnl.RPFilterLoose

// PublicKey is a Curve25519 public key. It prints as base64.
type PublicKey = wgtypes.Key

// PrivateKey is a Curve25519 private key. It never prints.
type PrivateKey [wgtypes.KeyLen]byte

// String says that this is a key, and not which.
func (PrivateKey) String() string { return "(private key)" }

// GoString is String, for %#v.
func (k PrivateKey) GoString() string { return k.String() }

// Public is the key that peers know.
func (k PrivateKey) Public() PublicKey { return wgtypes.Key(k).PublicKey() }

// Config is what the node's WireGuard devices should be. The zero value wants no device.
type Config struct {
	// Userspace: this process serves the devices, each on a TUN. Otherwise the kernel does.
	Userspace bool
	// Devices by name.
	Devices []Device
}

// Device is one WireGuard link.
type Device struct {
	// Name is DeviceName of a lane.
	Name string
	// PrivateKey of this gateway, the same on each of its devices.
	PrivateKey PrivateKey
	// ListenPort is the UDP port; zero lets the kernel choose.
	ListenPort int
	// MTU of the link in bytes.
	MTU int
	// Addresses are this gateway's tunnel addresses, each as a host prefix on the device; sorted.
	Addresses []netip.Addr
	// Peers by public key.
	Peers []Peer
}

// Peer is one remote gateway.
type Peer struct {
	PublicKey PublicKey
	// Endpoint is the published address. What the kernel sends to may be another, learned one.
	Endpoint netip.AddrPort
	// Keepalive is the interval of empty packets that keep NATs open; zero sends none.
	Keepalive time.Duration
	// AllowedIPs are masked and sorted. On one device a prefix belongs to one peer.
	AllowedIPs []netip.Prefix
}

// State is what the kernel has: every device that is ours, by name.
type State struct {
	Devices []DeviceState
}

// DeviceState is a device as it is. Its peers are in Peers below: the Peers of the embedded Device
// are empty.
type DeviceState struct {
	Name string
	// Userspace: the link is a TUN.
	Userspace bool
	// Detached: no process serves the TUN. Its WireGuard has ended, and what follows is zero except
	// for what the link has: MTU, RPFilter, Addresses.
	Detached   bool
	PrivateKey PrivateKey
	ListenPort int
	MTU        int
	// Up: the link is up, and its UDP port is open.
	Up        bool
	RPFilter  rtnl.RPFilter // the link's own
	Addresses []netip.Addr
	Peers     []PeerState
}

// PeerState is a peer as it is. Its Endpoint is the one the kernel sends to.
type PeerState struct {
	Peer
	// Published is the endpoint that this process last gave the peer; not valid if it gave none.
	Published netip.AddrPort
	// LastHandshake is zero if there was none.
	LastHandshake time.Time
	// Alive: there is a session that may carry data.
	Alive bool
	// Received and Sent count bytes since the peer was added.
	Received, Sent int64
}

// DeviceName is the name of the device that talks to the remote gateways with that lane.
func DeviceName(lane int) string { return tunnel.Name(lane) }

// Device is the state of the device of that name; ok is false if there is none.
func (s State) Device(name string) (state DeviceState, ok bool) {
	i := slices.IndexFunc(s.Devices, func(d DeviceState) bool { return d.Name == name })
	if i < 0 {
		return DeviceState{}, false
	}
	return s.Devices[i], true
}

// Peer is the state of the peer with that key; ok is false if there is none.
func (d DeviceState) Peer(key PublicKey) (state PeerState, ok bool) {
	i := slices.IndexFunc(d.Peers, func(p PeerState) bool { return p.PublicKey == key })
	if i < 0 {
		return PeerState{}, false
	}
	return d.Peers[i], true
}

// compareKeys orders keys by their text, as wg prints them.
func compareKeys(a, b PublicKey) int { return strings.Compare(a.String(), b.String()) }

// clamped is the key as X25519 uses it (RFC 7748, section 5), and as the kernel stores and shows
// it. Unclamped, the key would differ from the kernel's on every pass, and each pass would reset
// every session.
func clamped(k PrivateKey) PrivateKey {
	k[0] &= 248
	k[31] = k[31]&127 | 64
	return k
}

// ParsePrivateKey reads what `wg genkey` prints. The error does not hold the text.
func ParsePrivateKey(text string) (PrivateKey, error) {
	key, err := wgtypes.ParseKey(strings.TrimSpace(text))
	if err != nil {
		return PrivateKey{}, fmt.Errorf("parsing private key: want 32 bytes in base64, as wg genkey prints them")
	}
	if key == (wgtypes.Key{}) {
		return PrivateKey{}, fmt.Errorf("parsing private key: it is all zeros")
	}
	return clamped(PrivateKey(key)), nil
}

// ParsePublicKey reads what `wg pubkey` prints.
func ParsePublicKey(text string) (PublicKey, error) {
	key, err := wgtypes.ParseKey(text)
	if err != nil {
		return PublicKey{}, fmt.Errorf("parsing public key %q: want 32 bytes in base64, as wg pubkey prints them", text)
	}
	if key == (wgtypes.Key{}) {
		return PublicKey{}, fmt.Errorf("parsing public key: it is all zeros")
	}
	return key, nil
}

// GeneratePrivateKey makes a new key from the system's random source.
func GeneratePrivateKey() (PrivateKey, error) {
	key, err := wgtypes.GeneratePrivateKey()
	if err != nil {
		return PrivateKey{}, fmt.Errorf("generating private key: %w", err)
	}
	return PrivateKey(key), nil
}

// Text is the key as `wg genkey` prints it, for the Secret that holds it. Use it nowhere else.
func (k PrivateKey) Text() string { return wgtypes.Key(k).String() }
