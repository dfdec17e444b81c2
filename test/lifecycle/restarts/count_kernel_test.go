//go:build kernel

package restarts

import (
	"fmt"
	"strings"
	"time"

	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// count is how many segments of TCP, of the loads' own connections, were sent at one end and did not arrive at the other.
// Those on their way are among them.
//
// Each host counts its own ends by a table of nftables, before anybody else's sees or changes a segment. The sums of
// /proc/net/snmp would not do: they count the agents' connections to the API server, too, and a segment that the sender
// divides (OutSegs, by MSS) arrives as one (InSegs, by buffer). The loads' segments are all smaller than an MSS.
// Retransmissions would not do either: on a busy machine timers go off before what has arrived is looked at.
type count struct {
	requests, answers int64 // from clients to servers, and back
}

func (c count) minus(other count) count {
	return count{c.requests - other.requests, c.answers - other.answers}
}

// loadPorts are those of all Services that loads use, and of what serves them.
const loadPorts = "{ 7, 80, 7007, 8080 }"

// countPod counts at a host whose connections all are loads'. Both chains are before connection tracking.
const countPod = `table ip load {
	counter requests { }
	counter answers { }
	chain output { type filter hook output priority -400; tcp dport ` + loadPorts + ` counter name requests; }
	chain input { type filter hook input priority -400; tcp sport ` + loadPorts + ` counter name answers; }
}`

// countNode counts at a node. IPVS sends what it forwards through the output hook as well, or once more, but then it is no
// longer for a virtual service.
const countNode = `table ip load {
	counter requests { }
	counter answers { }
	chain output { type filter hook output priority -400; ip daddr ` + vipCIDR + ` tcp dport ` + loadPorts + ` counter name requests; }
	chain input { type filter hook input priority -400; tcp sport ` + loadPorts + ` counter name answers; }
}`

// countServer counts at a host whose connections all are to its servers.
const countServer = `table ip load {
	counter requests { }
	counter answers { }
	chain input { type filter hook input priority -400; tcp dport ` + loadPorts + ` counter name requests; }
	chain output { type filter hook output priority -400; tcp sport ` + loadPorts + ` counter name answers; }
}`

// countLoads begins to count. It must come before the first load.
func (s *site) countLoads() {
	s.t.Helper()
	for table, hosts := range map[string][]*netns.Namespace{
		countPod: {s.pod}, countNode: {s.worker, s.gateway}, countServer: {s.peer, s.away},
	} {
		for _, n := range hosts {
			n.Run("nft", table)
		}
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

// complete fails the test unless every segment arrives, now that nobody sends any more. It does not repeat what an earlier
// call has reported.
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
