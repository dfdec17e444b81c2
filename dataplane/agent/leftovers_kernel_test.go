//go:build kernel

package agent

import (
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/tombolo-net/tombolo/internal/node"
)

// TestLeftovers: what a gateway agent made goes when the node is no gateway any more, after its agent
// has ended and when the node's own routes are there. Nothing else goes.
func TestLeftovers(t *testing.T) {
	worker, _, _, _ := newWorker(t)
	f := newFixture(t, worker, gatewayNode("worker", "192.0.2.1", 0), gatewayNode("gw", "192.0.2.2", 1),
		nodeObject("gw", "192.0.2.2", "10.2.2.0/24"), remote("east", "10.1.0.0/16"))
	for _, command := range []string{
		"ip link add wg0 type wireguard", "ip link add tombolo100 type wireguard", "ip tuntap add tombolo7 mode tun",
		"ip rule add pref 7000 lookup 7473", "nft add table inet other",
	} {
		args := strings.Fields(command)
		worker.Run(args[0], args[1:]...)
	}
	left := func() string {
		return everythingBut(worker.Run("ip", "-br", "link") + worker.Run("ip", "rule") + worker.Run("nft", "list", "tables"))
	}
	foreign := left()
	for _, command := range []string{
		"ip link add tombolo0 type wireguard", "ip tuntap add tombolo1 mode tun", "ip link set tombolo0 up",
		"ip route add 10.1.0.0/16 dev tombolo0 table 7473 metric 100 proto 147",
		"ip rule add pref 7473 lookup 7473 protocol 147", "ip rule add pref 7471 iif tombolo-ho lookup 7477 protocol 147",
		"ip link add tombolo-ho type vxlan id 7474 dstport 7473 local 192.0.2.1", "nft add table inet tombolo-gateway",
	} {
		args := strings.Fields(command)
		worker.Run(args[0], args[1:]...)
	}
	worker.Run("ip", "link", "set", "tombolo1", "alias", "tombolo userspace WireGuard")
	whole := left()
	f.pass(node.Ticked)
	if got := left(); got != whole {
		t.Errorf("a gateway lost something of its own:\n%s\nwant\n%s", got, whole)
	}
	var agent net.PacketConn
	worker.Do(func() {
		var err error
		if agent, err = net.ListenPacket("udp4", "127.0.0.1:7472"); err != nil {
			t.Fatal(err)
		}
	})
	f.delete(gatewayNode("worker", "192.0.2.1", 0))
	f.agent.markNetwork()
	f.pass(node.Ticked)
	if got := left(); got != whole {
		t.Errorf("while the agent runs, this went:\n%s\nwant\n%s", got, whole)
	}
	agent.Close()
	f.pass(node.Ticked)
	if got := left(); got != foreign {
		t.Errorf("what is left:\n%s\nwant\n%s", got, foreign)
	}
	if got := routesOf(worker, "7474"); !strings.Contains(got, "10.1.0.0/16 via 192.0.2.2") {
		t.Errorf("the routes of a worker: %s", got)
	}
	f.quiet()
}

// everythingBut is the text without the lines about what the dataplane makes itself.
func everythingBut(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		if !strings.Contains(line, "tombolo-vx") && !strings.Contains(line, "proto 148") && !slices.Contains([]string{"table inet tombolo", "table inet tombolo-node"}, strings.TrimSpace(line)) &&
			!strings.Contains(line, "protocol 148") && !strings.Contains(line, "lookup 7474") && !strings.Contains(line, "lookup 7476") &&
			!strings.Contains(line, "lookup 7475") && !strings.Contains(line, "tombolo-nft") {
			lines = append(lines, strings.Join(strings.Fields(line), " "))
		}
	}
	return strings.Join(lines, "\n")
}
