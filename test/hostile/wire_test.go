//go:build e2e

package hostile

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket/layers"

	"github.com/tombolo-net/tombolo/test/harness/shell"
)

// shot is a packet that somebody sends. It is an attack, or an honest one.
type shot struct {
	name string
	packet
	// by is the node that sends; empty: the pod inside of the victim's cluster. A node sends into its
	// tunnel, whatever its routes say, or outside of it.
	by      string
	outside bool
	// frame is what carries the packet over a VXLAN, if something does: without payload.
	frame *packet
	vni   uint32 // of the frame; zero is the nodes'
	// filtered tells that the gateways' filter is what stops it: it comes through when that is off.
	filtered bool
	// forged tells that WireGuard stops it, since its source is not the sender's: it does not even come.
	forged bool
}

// fromGateway are packets that west's gateway sends into the tunnel as root.
func (s *site) fromGateway() []shot {
	tcp, sctp, gre := layers.IPProtocolTCP, layers.IPProtocolSCTP, layers.IPProtocolGRE
	f := familyOf(s.open)
	metadata, foreign := f.metadata, f.foreign
	gateway, worker := s.node[s.gateway[victim]], s.node[s.worker[victim]]
	quoted := packet{from: s.closed, to: foreign, ports: [2]uint16{1, 2}}
	all := []shot{
		{name: "UDP to a pod that is not exported", packet: packet{to: s.closed, ports: [2]uint16{40000, packetPort}}, filtered: true},
		{name: "TCP to a pod that is not exported", packet: packet{to: s.closed, protocol: tcp, ports: [2]uint16{40000, httpPort}}, filtered: true},
		{name: "TCP to another port of an exported pod", packet: packet{to: s.open, protocol: tcp, ports: [2]uint16{40000, 22}}, filtered: true},
		{name: "UDP to a port that is exported for TCP", packet: packet{to: s.open, ports: [2]uint16{40000, httpPort}}, filtered: true},
		{name: "SCTP to an exported pod", packet: packet{to: s.open, protocol: sctp, ports: [2]uint16{40000, httpPort}}, filtered: true},
		{name: "a SYN from an exported port", packet: packet{to: s.closed, protocol: tcp, ports: [2]uint16{httpPort, httpPort}}, filtered: true},
		{name: "UDP from an exported port, which nobody asked", packet: packet{to: s.closed, ports: [2]uint16{packetPort, 40000}}, filtered: true},
		{name: "an ACK from a port that is not exported", packet: packet{to: s.closed, protocol: tcp, ports: [2]uint16{40000, httpPort}, ack: true}},
		{name: "another protocol to a pod", packet: packet{to: s.open, protocol: 253, payload: []byte("tombolo")}, filtered: true},
		{name: "GRE to a pod", packet: packet{to: s.closed, protocol: gre, payload: make([]byte, 8)}, filtered: true},
		{name: "an ICMP error about a packet that nobody sent there", packet: packet{to: s.closed, protocol: f.icmp,
			icmp: f.unreachable, payload: packet{from: foreign, to: s.client}.quote()}},
		{name: "an ICMP redirect", packet: packet{to: s.closed, protocol: f.icmp, icmp: f.redirect, payload: quoted.quote()}},
		{name: "an ICMP " + f.requestName, packet: packet{to: s.closed, protocol: f.icmp, icmp: f.request, payload: make([]byte, 12)}, filtered: true},
		{name: "an address of the victim's own as source", packet: packet{from: s.inside, to: s.open, ports: [2]uint16{40000, packetPort}}, forged: true},
		{name: "a source that is no member's", packet: packet{from: foreign, to: s.open, ports: [2]uint16{40000, packetPort}}, forged: true},
		{name: "the victim's gateway as source", packet: packet{from: gateway, to: s.open, ports: [2]uint16{40000, packetPort}}, forged: true},
		{name: "the victim's tunnel as source", packet: packet{from: s.tunnel[victim], to: s.open, ports: [2]uint16{40000, packetPort}}, forged: true},
		{name: "the kubelet at the tunnel's address", packet: packet{to: s.tunnel[victim], protocol: tcp, ports: [2]uint16{40000, 10250}}},
		{name: "the kubelet at the tunnel's address, from an exported port", packet: packet{to: s.tunnel[victim], protocol: tcp, ports: [2]uint16{httpPort, 10250}, ack: true}},
		{name: "the gateway's own page", packet: packet{to: s.tunnel[victim], protocol: tcp, ports: [2]uint16{40000, 7474}}},
		{name: "SSH at the tunnel's address", packet: packet{to: s.tunnel[victim], protocol: tcp, ports: [2]uint16{40000, 22}}},
		{name: "UDP to the tunnel's address", packet: packet{to: s.tunnel[victim], ports: [2]uint16{40000, 53}}},
		{name: "a NodePort at the tunnel's address", packet: packet{to: s.tunnel[victim], protocol: tcp, ports: [2]uint16{40000, 30080}}},
		{name: "a frame of the VXLAN through the tunnel", packet: packet{from: s.client, to: s.closed, ports: [2]uint16{40000, packetPort}},
			frame: &packet{from: s.client, to: s.tunnel[victim], ports: [2]uint16{40000, 7473}}},
		{name: "a source route", packet: sourceRoute(s.closed, s.open)},
	}
	// Addresses outside of east's CIDRs, to which an honest gateway's WireGuard sends nothing.
	for name, to := range map[string]netip.Addr{"the API server's clusterIP": s.clusterIP, "the metadata address": metadata,
		"the gateway's address": gateway, "another node's address": worker} {
		all = append(all, shot{name: name, packet: packet{to: to, protocol: tcp, ports: [2]uint16{40000, 443}}})
	}
	for i := range all {
		all[i].by = s.gateway[attacker]
		if !all[i].from.IsValid() {
			all[i].from = s.client
		}
	}
	return all
}

// quote is the packet as an ICMP error quotes it.
func (p packet) quote() []byte {
	if p.from.Is6() {
		return append([]byte{0x60, 0, 0, 0, 0, 8, 17, 64}, append(append(p.from.AsSlice(), p.to.AsSlice()...), 0, 1, 0, 2, 0, 8, 0, 0)...)
	}
	return append([]byte{0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0}, append(append(p.from.AsSlice(), p.to.AsSlice()...), 0, 1, 0, 2, 0, 8, 0, 0)...)
}

// frames are packets in frames of the nodes' VXLAN, from a machine on the same network and from a pod.
func (s *site) frames() []shot {
	stranger := s.node[s.gateway[attacker]]
	inner := packet{from: s.client, to: s.closed, ports: [2]uint16{40000, packetPort}}
	own := packet{from: s.inside, to: s.closed, ports: [2]uint16{40000, packetPort}}
	var all []shot
	for _, node := range []string{s.gateway[victim], s.worker[victim]} {
		for _, vni := range []uint32{7473, 7474} {
			name := fmt.Sprintf("to %s, VNI %d", node, vni)
			to := s.node[node]
			all = append(all,
				shot{name: "a stranger's frame " + name, packet: inner, by: s.gateway[attacker], outside: true, vni: vni, frame: &packet{from: stranger, to: to, ports: [2]uint16{40000, 7473}}},
				shot{name: "a stranger's frame in a node's name " + name, packet: own, by: s.gateway[attacker], outside: true, vni: vni, frame: &packet{from: stranger, to: to, ports: [2]uint16{7473, 7473}}},
				shot{name: "a pod's frame " + name, packet: inner, vni: vni, frame: &packet{from: s.inside, to: to, ports: [2]uint16{40000, 7473}}},
				shot{name: "a pod's frame in its node's name " + name, packet: inner, vni: vni, frame: &packet{from: s.node[s.worker[victim]], to: to, ports: [2]uint16{40000, 7473}}},
			)
		}
	}
	return all
}

// sent are the honest packets that show that the witness sees.
func (s *site) sent() []shot {
	return []shot{
		{name: "UDP to an exported port", by: s.gateway[attacker], packet: packet{from: s.client, to: s.open, ports: [2]uint16{40000, packetPort}}},
		{name: "TCP to an exported port", by: s.gateway[attacker], packet: packet{from: s.client, to: s.open, protocol: layers.IPProtocolTCP, ports: [2]uint16{40000, httpPort}}},
		{name: "an answer of an exported port", by: s.gateway[attacker], packet: packet{from: s.client, to: s.inside, protocol: layers.IPProtocolTCP, ports: [2]uint16{httpPort, 40000}, ack: true}},
		{name: "UDP between the victim's pods", packet: packet{from: s.inside, to: s.closed, ports: [2]uint16{40000, packetPort}}},
	}
}

// hostileGateway sends packets into the tunnel, whatever their destination. The agent mends the device
// soon, so it is told again and again. Of IPv6 the kernel sends by a device only what a route leads
// there.
const hostileGateway = `
set -e
ip -6 route replace default dev tombolo0 metric 99999
line=$(wg show tombolo0 allowed-ips)
peer=${line%%$'\t'*} allowed=${line#*$'\t'}
while wg set tombolo0 peer "$peer" allowed-ips "${allowed// /,},0.0.0.0/0,::/0"; do sleep 0.01; done &
DEVICE=tombolo0 "$0" "$@"
kill %1
ip -6 route delete default dev tombolo0 metric 99999
`

// fire sends all shots and tells what became of them, by index.
func (s *site) fire(t *testing.T, shots []shot) []fate {
	t.Helper()
	s.watch(t)
	type sender struct {
		node    string
		outside bool
	}
	by := map[sender][]string{}
	for i, one := range shots {
		number := firstNumber + i
		raw := one.bytes(t, number)
		if one.frame != nil {
			frame, vni := *one.frame, one.vni
			if vni == 0 {
				vni = 7473
			}
			node := s.gateway[victim]
			if frame.to == s.node[s.worker[victim]] {
				node = s.worker[victim]
			}
			frame.payload = inFrame(t, vni, node, raw)
			raw = frame.bytes(t, number) // it has the mark as well: the frame must not come to the port
		}
		who := sender{one.by, one.outside}
		by[who] = append(by[who], hex.EncodeToString(raw))
	}
	for who, packets := range by {
		var err error
		switch {
		case who.node == "":
			_, err = s.InPod(t.Context(), victim, namespace, "inside", append([]string{"/send"}, packets...)...)
		case who.outside:
			_, err = s.OnNode(t.Context(), who.node, append([]string{s.sender}, packets...)...)
		default:
			_, err = s.OnNode(t.Context(), who.node, append([]string{"bash", "-c", hostileGateway, s.sender}, packets...)...)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(time.Second)
	all := s.fates(t)
	became := make([]fate, len(shots))
	for i := range shots {
		became[i] = all[firstNumber+i]
	}
	return became
}

// wire: what west's gateway, strangers and pods send comes to no pod and no listener of east that is not
// exported, whatever it is. An event tells what was dropped.
func (s *site) wire(t *testing.T) {
	s.expect(t, s.sent(), true)
	s.expect(t, append(s.fromGateway(), s.frames()...), false)
	s.told(t)
}

// expect fires the shots and asserts that all come through, or that none does.
func (s *site) expect(t *testing.T, shots []shot, through bool) {
	t.Helper()
	t.Logf("%d packets of different kinds, which shall come through: %t", len(shots), through)
	for i, became := range s.fire(t, shots) {
		if became.through != through {
			t.Errorf("came through: %t, want %t: %s", became.through, through, shots[i].name)
		}
		if became.came == shots[i].forged {
			t.Errorf("came to the victim's nodes: %t, want %t: %s", became.came, !shots[i].forged, shots[i].name)
		}
	}
}

// told asserts that an event says what of west's is dropped, and what to do about it.
func (s *site) told(t *testing.T) {
	t.Helper()
	if _, err := shell.Eventually(t.Context(), within, func(ctx context.Context) (string, error) {
		out, err := s.Kubectl(ctx, victim, "get", "events", "--all-namespaces", "--field-selector", "reason=IngressDropped",
			"--output", `jsonpath={range .items[*]}{.message}{.note}{"\n"}{end}`)
		for line := range strings.Lines(out) {
			if strings.Contains(line, "cluster west") && strings.Contains(line, "export the Service") {
				return line, nil
			}
		}
		return "", fmt.Errorf("no event tells of what west sends: %q, %w", out, err)
	}); err != nil {
		t.Error(err)
	}
}

// until fires the shots until all their fates are as wanted: gateways and nodes change one after the
// other. It says which are not in the end.
func (s *site) until(t *testing.T, through bool, shots []shot) {
	t.Helper()
	var became []fate
	for range 10 {
		became = s.fire(t, shots)
		if !slices.ContainsFunc(became, func(f fate) bool { return f.through != through }) {
			return
		}
	}
	for i, f := range became {
		if f.through != through {
			t.Errorf("came through: %t, want %t: %s", f.through, through, shots[i].name)
		}
	}
}

// withoutFilter: the filter is what stops the attacks of which that is said, so that wire proves something.
func (s *site) withoutFilter(t *testing.T) {
	filtered := slices.DeleteFunc(s.fromGateway(), func(one shot) bool { return !one.filtered })
	mode := func(mode string) {
		for _, cluster := range []string{victim, attacker} {
			if _, err := s.Kubectl(t.Context(), cluster, "patch", "clusterset", "default", "--type=merge", "-p", `{"spec":{"gateway":{"ingress":"`+mode+`"}}}`); err != nil {
				t.Error(err)
			}
		}
	}
	mode("Any")
	s.until(t, true, filtered)
	mode("Exported")
	s.until(t, false, filtered)
}

// withoutExport: what may come to a Service may not any more once it is not exported.
func (s *site) withoutExport(t *testing.T) {
	if _, err := s.Kubectl(t.Context(), victim, "-n", namespace, "delete", "serviceexport", "open"); err != nil {
		t.Fatal(err)
	}
	s.until(t, false, s.sent()[:2])
}
