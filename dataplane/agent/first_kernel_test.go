//go:build kernel

package agent

import (
	"fmt"
	"net"
	"slices"
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
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); {
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

// TestFlowsBegunUnderOtherRules: what a UDP client began while rules were missing, were others, or
// were another backend's, does not outlast them. What began under the rules of now stays, with its
// entry.
func TestFlowsBegunUnderOtherRules(t *testing.T) {
	for _, backend := range []v1alpha1.DataplaneBackend{v1alpha1.BackendIPVS, v1alpha1.BackendNFTables} {
		t.Run(string(backend), func(t *testing.T) {
			s, f := lateRules(t, backend)
			defer f.leave()
			f.pass(node.Marked)
			f.pass(node.Ticked)
			f.keepsGoodFlows()
			f.mendsFlows("nft flush ruleset")
			s.masquerade()
			f.mendsFlows("ip route del local 244.0.0.0/16 dev lo table local", "ip -6 route del local fdff:1::/112 dev lo table local")
			f.servesLater()
			f.switches()
			f.quiet()
		})
	}
}

// clients of the first service, one of each family.
func (f *siteFixture) clients(name string, vip int) map[string]early {
	f.t.Helper()
	all := map[string]early{}
	for _, a := range bothFamilies {
		all[a.name] = f.site.early(f.site.pod, a.name+" "+name, a.to(vip, dns53.number))
	}
	return all
}

// keepsGoodFlows: neither a new process nor a repair deletes the entry of a flow that is as it
// should be, nor those of what others serve among our addresses.
func (f *siteFixture) keepsGoodFlows() {
	f.t.Helper()
	f.site.worker.Run("ipvsadm", "-A", "-u", "244.0.3.3:53", "-s", "rr")
	f.site.worker.Run("ipvsadm", "-a", "-u", "244.0.3.3:53", "-r", at(ipv4.away[0], dns53.east), "-m")
	f.site.worker.Run("nft", "insert rule inet tombolo unserved ip daddr 244.0.3.3 return")
	foreign := f.site.early(f.site.pod, "foreign", "244.0.3.3:53")
	clients := f.clients("good", 1)
	for _, a := range bothFamilies {
		clients[a.name].answered(f.t, "under the rules", a.pod, dns53.east, a.away[:2]...)
	}
	if f.backend == v1alpha1.BackendIPVS {
		foreign.answered(f.t, "of others", ipv4.pod, dns53.east, ipv4.away[0])
	}
	entries := func() string {
		var lines []string
		for _, a := range bothFamilies {
			for _, vip := range []string{fmt.Sprint(a.vip, 1), "244.0.3.3"} {
				for line := range strings.Lines(f.site.worker.Run("sh", "-c", "conntrack -L -o id -f "+strings.ToLower(a.name)+" -d "+vip+" 2>&1 || true")) {
					if _, id, ok := strings.Cut(line, " id="); ok {
						lines = append(lines, vip+" "+strings.TrimSpace(id))
					}
				}
			}
		}
		slices.Sort(lines)
		return strings.Join(lines, "\n")
	}
	before := entries()
	if want := 2; strings.Count(before, "\n")+1 < want {
		f.t.Fatalf("entries: %s", before)
	}
	f.restart()
	f.pass(node.Marked)
	f.agent.flows.pending = true
	f.agent.flows.next = time.Time{}
	f.pass(node.Audited)
	if f.agent.flows.pending {
		f.t.Error("the flows were not looked through; the test proves nothing")
	}
	if after := entries(); after != before {
		f.t.Errorf("entries of flows under the rules:\n%s\nthen\n%s", before, after)
	}
	f.site.worker.Run("ipvsadm", "-D", "-u", "244.0.3.3:53")
	f.pass(node.Audited)
}

// mendsFlows: clients that begin while others have taken rules away.
func (f *siteFixture) mendsFlows(damage ...string) {
	f.t.Helper()
	for _, command := range damage {
		args := strings.Fields(command)
		f.site.worker.Run(args[0], args[1:]...)
	}
	f.agent.routes.touched.Store(true) // as rtnl.Watch does
	clients := f.clients(damage[0], 1)
	for _, client := range clients {
		client.asks()
	}
	f.agent.flows.next = time.Time{}
	f.pass(node.Ticked)
	for _, a := range bothFamilies {
		clients[a.name].answered(f.t, "after "+damage[0], a.pod, dns53.east, a.away[:2]...)
	}
}

// servesLater: a client's port comes, loses its endpoint, goes, and comes again with another
// endpoint.
func (f *siteFixture) servesLater() {
	f.t.Helper()
	clients := f.clients("later", 5)
	answered := func(what string, endpoint int) {
		f.t.Helper()
		for _, a := range bothFamilies {
			f.endpoints("later", "east", a, endpointPorts("east", dns53), ready(a.away[endpoint]))
		}
		f.pass(node.Marked)
		for _, a := range bothFamilies {
			clients[a.name].answered(f.t, what, a.pod, dns53.east, a.away[endpoint])
		}
	}
	silent := func(what string) {
		f.t.Helper()
		f.pass(node.Marked)
		for _, client := range clients {
			for range 3 {
				if got := client.asks(); got != "nobody" {
					f.t.Errorf("%s: %s is answered: %s", what, client.name, got)
				}
			}
		}
	}
	silent("before there is a Service")
	f.serve("later", 5, servicePorts(dns53)...)
	answered("a Service came", 0)
	answered("another endpoint", 1)
	for _, a := range bothFamilies {
		f.endpoints("later", "east", a, endpointPorts("east", dns53))
	}
	silent("its endpoint went")
	answered("an endpoint came again", 2)
	f.delete(imported("later", ""))
	silent("the Service went")
	f.serve("later", 5, servicePorts(dns53)...)
	answered("the Service came again", 0)
	f.delete(imported("later", ""))
	f.pass(node.Marked)
}

// switches to the other backend, and back. A client keeps its endpoint until that goes.
func (f *siteFixture) switches() {
	f.t.Helper()
	others := map[v1alpha1.DataplaneBackend]v1alpha1.DataplaneBackend{
		v1alpha1.BackendIPVS: v1alpha1.BackendNFTables, v1alpha1.BackendNFTables: v1alpha1.BackendIPVS}
	f.serve("moving", 6, servicePorts(dns53)...)
	clients := f.clients("moving", 6)
	endpoint := 0
	move := func(what string) {
		f.t.Helper()
		for _, a := range bothFamilies {
			f.endpoints("moving", "east", a, endpointPorts("east", dns53), ready(a.away[endpoint]))
		}
		f.pass(node.Marked)
		for _, a := range bothFamilies {
			clients[a.name].answered(f.t, what, a.pod, dns53.east, a.away[endpoint])
		}
		endpoint = (endpoint + 1) % 3
	}
	move("before")
	for range 2 {
		f.backend = others[f.backend]
		f.applyStatus(f.clusterSet())
		f.pass(node.Marked)
		f.pass(node.Ticked) // the sysctls of IPVS
		move("served by " + string(f.backend))
		move("served by " + string(f.backend) + ", once more")
	}
}
