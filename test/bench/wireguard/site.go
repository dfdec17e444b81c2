package wireguard

import (
	"context"
	"net/netip"
	"time"

	"github.com/tombolo-net/tombolo/gateway/wireguard"
	"github.com/tombolo-net/tombolo/test/harness/shell"
)

// siteScript makes two nodes and the wire between them. The wire carries packets of its MTU, as one
// between machines does: two namespaces would otherwise pass batches of UDP on in one piece.
const siteScript = `
mount -t tmpfs tmpfs /run
mkdir /run/wireguard
ip netns add a
ip netns add b
ip link add eth0 netns a type veth peer name eth0 netns b
ip -n a addr add 192.0.2.1/24 dev eth0
ip -n b addr add 192.0.2.2/24 dev eth0
for n in a b; do
	ip -n $n link set lo up
	ip -n $n link set eth0 up
	ip netns exec $n ethtool -K eth0 tx-udp-segmentation off >/dev/null
done
`

func makeSite(ctx context.Context) error {
	_, err := shell.Run(ctx, siteScript, "sh", "-e")
	return err
}

// node is one end of the tunnel. The names of the devices differ, because control sockets do not
// belong to a namespace.
type node struct {
	name, device  string
	underlay      string
	address, peer netip.Addr
}

func nodes() (a, b node) {
	x, y := netip.MustParseAddr("245.0.16.0"), netip.MustParseAddr("245.0.32.0")
	return node{"a", "tombolo0", "192.0.2.1", x, y}, node{"b", "tombolo1", "192.0.2.2", y, x}
}

const (
	port = 51820
	mtu  = 1420
)

// config is the node's device and its one peer. The keys are no secret.
func config(own, peer node, userspace bool) wireguard.Config {
	return wireguard.Config{Userspace: userspace, Devices: []wireguard.Device{{
		Name: own.device, PrivateKey: key(own), ListenPort: port, MTU: mtu, Addresses: []netip.Addr{own.address},
		Peers: []wireguard.Peer{{
			PublicKey: key(peer).Public(), Endpoint: netip.AddrPortFrom(netip.MustParseAddr(peer.underlay), port),
			Keepalive: 25 * time.Second, AllowedIPs: []netip.Prefix{netip.PrefixFrom(peer.address, 32)},
		}},
	}}}
}

// key of the node, clamped as X25519 uses it.
func key(n node) wireguard.PrivateKey {
	var k wireguard.PrivateKey
	k[1], k[31] = n.name[0], 64
	return k
}

// Serve makes the device of a node, in the network namespace that it is called in, and serves it
// until ctx ends.
func Serve(ctx context.Context, name string, userspace bool) error {
	own, peer := nodes()
	if name == peer.name {
		own, peer = peer, own
	}
	devices := wireguard.New()
	ended := make(chan error, 1)
	go func() { ended <- devices.Run(ctx) }()
	if _, err := devices.Sync(ctx, config(own, peer, userspace)); err != nil {
		return err
	}
	return <-ended
}
