//go:build kernel

package restarts

import (
	"fmt"
	"strings"
	"time"

	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// count is how many segments of TCP, of the loads' own connections, were sent at one end and did
// not arrive at the other. Those on their way are among them.
//
// Each host counts its own ends by a table of nftables, before anybody else's sees or changes a
// segment. The sums of /proc/net/snmp would not do: they count the agents' connections to the API
// server, too, and a segment that the sender divides (OutSegs, by MSS) arrives as one (InSegs, by
// buffer). The loads' segments are all smaller than an MSS. Retransmissions would not do either: on
// a busy machine timers go off before what has arrived is looked at.
type count struct {
	requests, answers int64 // from clients to servers, and back
}

func (c count) minus(other count) count {
	return count{c.requests - other.requests, c.answers - other.answers}
}

// loadPorts are those of all Services that loads use, and of what serves them.
const loadPorts = "{ 7, 80, 7007, 8080 }"

// clusterSetIPs are how clients, and the nodes on the way, call what the dataplane serves: before
// it is translated and after.
const clusterSetIPs = "{ " + vipCIDR + ", " + remoteCIDR + " }"

// countClient counts at a host that has clients, before connection tracking. At a node, IPVS sends
// what it forwards through the output hook as well, or once more, but then it is no longer for a
// virtual service. %s says what a client asks.
//
// The ports in old are those of clients that nothing has served. What their servers send again, for
// up to 15 minutes, counts nowhere.
const countClient = `table ip load {
	counter requests { }
	counter answers { }
	set old { type inet_service; flags interval; }
	chain output {
		type filter hook output priority -400;
		ip daddr ` + clusterSetIPs + ` tcp dport ` + loadPorts + ` tcp sport @old accept
		%s tcp dport ` + loadPorts + ` counter name requests
	}
	chain input {
		type filter hook input priority -400;
		ip saddr ` + clusterSetIPs + ` tcp sport ` + loadPorts + ` tcp dport @old accept
		tcp sport ` + loadPorts + ` counter name answers
	}
}`

// countServer counts at a host whose connections all are to its servers.
const countServer = `table ip load {
	counter requests { }
	counter answers { }
	set old { type inet_service; flags interval; }
	chain input {
		type filter hook input priority -400;
		tcp sport @old accept
		tcp dport ` + loadPorts + ` counter name requests
	}
	chain output {
		type filter hook output priority -400;
		tcp dport @old accept
		tcp sport ` + loadPorts + ` counter name answers
	}
}`

// countLoads begins to count. It must come before the first load.
func (s *site) countLoads() {
	s.t.Helper()
	s.pod.Run("nft", fmt.Sprintf(countClient, ""))
	for _, n := range []*netns.Namespace{s.worker, s.gateway} {
		n.Run("nft", fmt.Sprintf(countClient, "ip daddr "+vipCIDR))
	}
	for _, n := range []*netns.Namespace{s.peer, s.away} {
		n.Run("nft", countServer)
	}
}

// The ports that the kernel gives to clients: first, which is its default, and once forgetOld was
// called.
const firstPorts, laterPorts = "32768-60999", "10000-29999"

// forgetOld no longer counts the clients that the dataplane has served so far. All of these must
// have ended.
func (s *site) forgetOld() {
	s.t.Helper()
	for _, n := range []*netns.Namespace{s.pod, s.worker, s.gateway} {
		n.Sysctl("net/ipv4/ip_local_port_range", strings.Replace(laterPorts, "-", " ", 1))
	}
	for _, n := range []*netns.Namespace{s.pod, s.worker, s.gateway, s.away} {
		n.Run("nft", "add element ip load old { "+firstPorts+" }")
	}
}

// counted is what a host has counted.
func (s *site) counted(n *netns.Namespace) (c count) {
	s.t.Helper()
	var name string
	for line := range strings.Lines(n.Run("nft", "list", "counters", "table", "ip", "load")) {
		fields := strings.Fields(line)
		switch {
		case len(fields) > 1 && fields[0] == "counter":
			name = fields[1]
		case len(fields) > 1 && fields[0] == "packets":
			to := map[string]*int64{"requests": &c.requests, "answers": &c.answers}[name]
			if _, err := fmt.Sscan(fields[1], to); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	return c
}

// missing is what is lost or on its way, and what every host has counted, for a message.
func (s *site) missing() (missing count, hosts string) {
	s.t.Helper()
	var text []string
	for _, h := range []struct {
		name   string
		host   *netns.Namespace
		server bool
	}{{"pod", s.pod, false}, {"worker", s.worker, false}, {"gateway", s.gateway, false}, {"peer", s.peer, true}, {"away", s.away, true}} {
		c := s.counted(h.host)
		text = append(text, fmt.Sprintf("%s %d and %d", h.name, c.requests, c.answers))
		if h.server {
			c = count{-c.requests, -c.answers}
		}
		missing = count{missing.requests + c.requests, missing.answers - c.answers}
	}
	return missing, strings.Join(text, ", ")
}

// complete fails the test unless every segment arrives, now that nobody sends any more. It does not
// repeat what an earlier call has reported.
func (l *loads) complete(what string) {
	l.site.t.Helper()
	if l.failing {
		return
	}
	defer l.pause()()
	var lost count
	var hosts string
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		var missing count
		missing, hosts = l.site.missing()
		if lost = missing.minus(l.unanswered); lost == (count{}) {
			return
		}
	}
	l.unanswered = count{l.unanswered.requests + lost.requests, l.unanswered.answers + lost.answers}
	l.site.t.Errorf("%s: of requests %d segments of TCP were lost, of answers %d; counted were of requests and answers at %s",
		what, lost.requests, lost.answers, hosts)
}

// settled is what is lost, once that changes no more.
func (l *loads) settled() count {
	l.site.t.Helper()
	defer l.pause()()
	for before, _ := l.site.missing(); ; {
		time.Sleep(time.Second)
		now, _ := l.site.missing()
		if now == before {
			return now
		}
		before = now
	}
}

// pause stops all clients until the returned function is called.
func (l *loads) pause() (resume func()) {
	var all []func()
	for _, client := range l.all() {
		all = append(all, client.pause())
	}
	return func() {
		for _, one := range all {
			one()
		}
	}
}
