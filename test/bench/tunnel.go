package main

import (
	"context"
	"fmt"
	"strings"
)

// side is one cluster's part of the tunnel made by hand: a worker with the pod, and a gateway.
type side struct {
	cluster, worker, gateway   string // names
	workerIP, gatewayIP, podIP string
	privateKey, publicKey      string
}

// handMadeTunnel joins the two pods a second time, with ip and wg alone: the same way that tombolo
// takes (VXLAN to the gateway, WireGuard, VXLAN to the pod's node), on the same nodes and with the
// same MTU, for the ports of the server that only the comparison uses. remove takes it away.
func (b *bench) handMadeTunnel(ctx context.Context, clientIP, serverIP string) (remove func(), err error) {
	west := side{cluster: importer, worker: b.clientNode, gateway: b.gateways[importer], podIP: clientIP}
	east := side{cluster: exporter, worker: b.serverNode, gateway: b.gateways[exporter], podIP: serverIP}
	for _, s := range []*side{&west, &east} {
		if err := b.complete(ctx, s); err != nil {
			return nil, err
		}
	}
	scripts := map[string]string{
		west.worker:  workerScript(west, east.podIP, "dport"),
		west.gateway: gatewayScript(west, east, "dport"),
		east.worker:  workerScript(east, west.podIP, "sport"),
		east.gateway: gatewayScript(east, west, "sport"),
	}
	remove = func() {
		for node := range scripts {
			_, _ = b.OnNode(context.WithoutCancel(ctx), node, "sh", "-c", removeScript)
		}
	}
	for node, script := range scripts {
		if _, err := b.OnNode(ctx, node, "sh", "-e", "-c", script); err != nil {
			remove()
			return nil, err
		}
	}
	return remove, nil
}

// complete fills in addresses and makes a key pair.
func (b *bench) complete(ctx context.Context, s *side) error {
	for node, ip := range map[string]*string{s.worker: &s.workerIP, s.gateway: &s.gatewayIP} {
		out, err := b.Kubectl(ctx, s.cluster, "get", "node", node, "--output", `jsonpath={.status.addresses[?(@.type=="InternalIP")].address}`)
		if err != nil {
			return err
		}
		*ip = strings.Fields(out)[0]
	}
	out, err := b.OnNode(ctx, s.gateway, "sh", "-c", "k=$(wg genkey); echo $k; echo $k | wg pubkey")
	if err != nil {
		return err
	}
	keys := strings.Fields(out)
	if len(keys) != 2 {
		return fmt.Errorf("wg genkey on %s printed %d words, want 2", s.gateway, len(keys))
	}
	s.privateKey, s.publicKey = keys[0], keys[1]
	return nil
}

// vxlan makes the VXLAN device towards the other node of the cluster.
func vxlan(own, peer string) string {
	return fmt.Sprintf(`
ip link add hand-vx address %[4]s mtu 1370 type vxlan id 9999 dstport 9999 local %[1]s nolearning
ip link set hand-vx up
ip neigh replace %[2]s lladdr %[3]s dev hand-vx nud permanent
bridge fdb append %[3]s dev hand-vx dst %[2]s
`, own, peer, mac(peer), mac(own))
}

// mac is the address that vxlan gives to a node's device.
func mac(ip string) string {
	var a, b, c, d int
	_, _ = fmt.Sscanf(ip, "%d.%d.%d.%d", &a, &b, &c, &d)
	return fmt.Sprintf("02:74:%02x:%02x:%02x:%02x", a, b, c, d)
}

// workerScript sends what goes to the other pod's chosen ports to the gateway. port is dport where
// the client is, sport where the server is.
func workerScript(s side, otherPod, port string) string {
	return vxlan(s.workerIP, s.gatewayIP) +
		fmt.Sprintf("ip route add %s/32 via %s dev hand-vx onlink table 9999\n", otherPod, s.gatewayIP) +
		rules("9999", "to "+otherPod, port)
}

// gatewayScript makes the WireGuard device, and the routes to both pods.
func gatewayScript(s, other side, port string) string {
	back := map[string]string{"dport": "sport", "sport": "dport"}[port]
	return vxlan(s.gatewayIP, s.workerIP) + fmt.Sprintf(`
ip link add hand-wg mtu 1420 type wireguard
echo %s > /run/hand-wg.key
wg set hand-wg private-key /run/hand-wg.key listen-port 52999 peer %s endpoint %s:52999 allowed-ips %s/32
ip link set hand-wg up
ip route add %s/32 dev hand-wg table 9999
ip route add %s/32 via %s dev hand-vx onlink table 9998
`, s.privateKey, other.publicKey, other.gatewayIP, other.podIP, other.podIP, s.podIP, s.workerIP) +
		rules("9999", "to "+other.podIP, port) + rules("9998", "to "+s.podIP, back)
}

// rules look up the table for the comparison's ports only.
func rules(table, selector, port string) string {
	var b strings.Builder
	for _, p := range []int{iperfHandPort, httpHandPort} {
		fmt.Fprintf(&b, "ip rule add priority 99 %s ipproto tcp %s %d lookup %s\n", selector, port, p, table)
	}
	return b.String()
}

const removeScript = `while ip rule del priority 99 2>/dev/null; do :; done
ip link del hand-wg 2>/dev/null
ip link del hand-vx 2>/dev/null
rm -f /run/hand-wg.key
true`
