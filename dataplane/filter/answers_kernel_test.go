//go:build kernel

package filter

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// sends sends a packet of UDP from one address and port to another, and reports whether an answer
// comes.
func sends(t *testing.T, from *netns.Namespace, source, target string) (answered bool) {
	t.Helper()
	from.Do(func() {
		dialer := net.Dialer{LocalAddr: net.UDPAddrFromAddrPort(netip.MustParseAddrPort(source))}
		conn, err := dialer.DialContext(t.Context(), "udp", target)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write([]byte("?")); err != nil {
			t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(time.Second))
		n, err := conn.Read(make([]byte, 64))
		answered = err == nil && n > 0
	})
	return answered
}

// dropped is how many packets the filter has dropped since it was last asked.
func dropped(t *testing.T, node *netns.Namespace) int {
	t.Helper()
	return packets(t, node.Run("nft", "reset", "counter", "inet", "tombolo", "unasked"))
}

// TestUnaskedAnswers: from the port of an endpoint that east exports, UDP comes to a pod of west's only
// if the pod has asked it. The pod's listener answers everybody, so each attack gets through without
// that. The pod 10.2.1.5 exports port 8080 or not.
func TestUnaskedAnswers(t *testing.T) {
	m := newMember(t)
	m.pod.Serve("unexported", 161)
	nodes := map[string]*netns.Namespace{"worker": m.worker, "gateway": m.gateway}
	for name, node := range nodes {
		program(t, node, networkOf(t, name))
	}
	for _, tt := range []struct {
		name                string
		answering, exported []serviceport.Key
		attacked            bool // a packet that nobody asked for reaches port 161
		asked               bool // one reaches port 8080
	}{
		{name: "nothing is refused, as with ingress Any", attacked: true, asked: true},
		{name: "east exports ports", answering: []serviceport.Key{port("10.1.0.5:9000", "udp"), port("[fd01::5]:9000", "udp"), port("10.1.0.5:8080", "udp"), port("[fd01::5]:8080", "udp")}},
		{name: "east exports all ports of a pod", answering: []serviceport.Key{port("10.1.0.5:0", "udp"), port("[fd01::5]:0", "udp")}},
		{
			name: "west exports a port", answering: []serviceport.Key{port("10.1.0.5:0", "udp"), port("[fd01::5]:0", "udp")},
			exported: []serviceport.Key{port("10.2.1.5:8080", "udp"), port("[fd02:0:0:1::5]:8080", "udp")}, asked: true,
		},
		{
			name: "west exports all ports of the pod", answering: []serviceport.Key{port("10.1.0.5:0", "udp"), port("[fd01::5]:0", "udp")},
			exported: []serviceport.Key{port("10.2.1.5:0", "udp"), port("[fd02:0:0:1::5]:0", "udp")}, asked: true, attacked: true,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for name, node := range nodes {
				want := inputOf(networkOf(t, name))
				want.Answering, want.Exported = tt.answering, tt.exported
				want.Served = []serviceport.Key{port("244.0.0.1:80", "udp"), port("[fd77::1]:80", "udp"), port("244.0.0.1:80", "tcp"), port("[fd77::1]:80", "tcp")}
				sync(t, node, want)
			}
			m.worker.Run("conntrack", "-F")
			dropped(t, m.worker)
			refused := 0
			for _, a := range []struct {
				source, target string
				arrives        bool
			}{
				{"10.1.0.5:9000", "10.2.1.5:161", tt.attacked}, {"[fd01::5]:9000", "[fd02:0:0:1::5]:161", tt.attacked},
				{"10.1.0.5:9000", "10.2.1.5:8080", tt.asked}, {"[fd01::5]:9000", "[fd02:0:0:1::5]:8080", tt.asked},
			} {
				if got := sends(t, m.east, a.source, a.target); got != a.arrives {
					t.Errorf("from %s to %s: answered %t, want %t", a.source, a.target, got, a.arrives)
				}
				if !a.arrives {
					refused++
				}
			}
			if n := dropped(t, m.worker); n != refused {
				t.Errorf("%d packets are counted, want %d", n, refused)
			}
			for _, network := range []string{"udp", "tcp"} {
				for _, to := range []string{"10.1.0.5:8080", "[fd01::5]:8080", "244.0.0.1:80", "[fd77::1]:80"} {
					for name, from := range map[string]*netns.Namespace{"pod": m.pod, "worker": m.worker, "gateway": m.gateway} {
						if answer, err := from.Ask(network, to); err != nil || !strings.HasPrefix(answer, "east ") {
							t.Errorf("honest, the %s asks %s by %s: %q, %v", name, to, network, answer, err)
						}
					}
				}
			}
			if tt.exported != nil {
				if answer, err := m.east.Ask("udp", "10.2.1.5:8080"); err != nil || !strings.HasPrefix(answer, "pod ") {
					t.Errorf("honest, east asks what west exports: %q, %v", answer, err)
				}
			}
			if n := dropped(t, m.worker); n != 0 {
				t.Errorf("%d honest packets were dropped", n)
			}
		})
	}
}
