//go:build kernel

package agent

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/node"
	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// early is a client that was there before the rules: it keeps its socket, and its port.
type early struct {
	name string
	conn net.Conn
}

// asks sends one packet, and returns who answers.
func (e early) asks() string {
	answer, err := askOn(e.conn, "udp", lost)
	if err != nil {
		return "nobody"
	}
	reached, client, _ := strings.Cut(answer, " ")
	return reached + " sees " + client
}

func (s *site) early(from *netns.Namespace, name, address string) early {
	s.t.Helper()
	e := early{name: name}
	from.Do(func() {
		var err error
		if e.conn, err = net.Dial("udp", address); err != nil {
			s.t.Fatal(err)
		}
	})
	s.t.Cleanup(func() { e.conn.Close() })
	return e
}

// answered waits until the client is answered under its own address by one of the endpoints.
func (e early) answered(t *testing.T, what, client string, port int, endpoints ...string) {
	t.Helper()
	got := ""
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); {
		got = e.asks()
		for _, endpoint := range endpoints {
			if got == at(endpoint, port)+" sees "+client {
				return
			}
		}
	}
	t.Errorf("%s: %s is answered: %s", what, e.name, got)
}

// lateRules is a site whose services are known, and whose agent has done nothing yet.
func lateRules(t *testing.T, backend v1alpha1.DataplaneBackend) (*site, *siteFixture) {
	t.Helper()
	s := newSite(t)
	s.listen()
	s.pod.Sysctl("net/sctp/rto_initial", "1000") // as by default, or SCTP has given up when the rules come
	s.outside.Run("nft", "add table inet drops; add chain inet drops in { type filter hook prerouting priority 0; policy drop; }; add rule inet drops in icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept")
	f := s.fixture(backend, bothFamilies)
	f.serve("web", 1, servicePorts(http80, dns53, sig90)...)
	for _, a := range bothFamilies {
		f.endpoints("web", "east", a, endpointPorts("east", http80, dns53, sig90), ready(a.away[0]), ready(a.away[1]))
	}
	return s, f
}

// TestClientsThatWereFirst: clients that send before the node has any rules, and go on from the same
// port, are served as soon as there are rules, under the address that servers should see. Without
// rules their flows are masqueraded, or leave as they are, or end on the node.
func TestClientsThatWereFirst(t *testing.T) {
	for _, backend := range []v1alpha1.DataplaneBackend{v1alpha1.BackendIPVS, v1alpha1.BackendNFTables} {
		for _, masquerades := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, masquerades %t", backend, masquerades), func(t *testing.T) {
				s, f := lateRules(t, backend)
				defer f.leave()
				if !masquerades {
					s.worker.Run("nft", "delete table inet cni")
				}
				s.away.Run("nft", "add table inet boots; add chain inet boots in { type filter hook input priority 0; }; add rule inet boots in meta l4proto { tcp, udp, sctp } drop") // no way leads there yet
				clients, connections := map[string]early{}, map[string]<-chan string{}
				for _, a := range bothFamilies {
					clients[a.name+" pod"] = s.early(s.pod, a.name+" pod", a.to(1, dns53.number))
					clients[a.name+" node"] = s.early(s.worker, a.name+" node", a.to(1, dns53.number))
					clients[a.name+" headless"] = s.early(s.pod, a.name+" headless", at(a.away[0], dns53.east))
					for _, p := range []port{http80, sig90} {
						connections[a.name+" "+p.network()] = connecting(s.pod, p.network(), a.to(1, p.number))
					}
				}
				for name, client := range clients {
					if got := client.asks(); got != "nobody" {
						t.Errorf("before the rules, %s: %q", name, got)
					}
				}
				s.away.Run("nft", "delete table inet boots")
				f.pass(node.Marked)
				f.pass(node.Ticked)
				for _, a := range bothFamilies {
					clients[a.name+" pod"].answered(t, "after the rules", a.pod, dns53.east, a.away[:2]...)
					clients[a.name+" node"].answered(t, "after the rules", a.node, dns53.east, a.away[:2]...)
					clients[a.name+" headless"].answered(t, "after the rules", a.pod, dns53.east, a.away[0])
				}
				for name, done := range connections {
					if got := <-done; got != "answered" {
						t.Errorf("a connection that began before the rules, %s: %s", name, got)
					}
				}
				f.quiet()
			})
		}
	}
}

// connecting begins a connection. While nothing answers, the kernel repeats its first packet from the
// same port.
func connecting(from *netns.Namespace, network, address string) <-chan string {
	done := make(chan string, 1)
	go from.Do(func() {
		answer, err := ask(network, address)
		if err != nil || answer == "" {
			done <- fmt.Sprintf("%q, %v", answer, err)
			return
		}
		done <- "answered"
	})
	return done
}
