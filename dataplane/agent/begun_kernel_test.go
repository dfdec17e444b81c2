//go:build kernel

package agent

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/node"
)

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
