package conntrack

import (
	"net/netip"
	"testing"

	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
)

// TestStale: each property of an entry, and of what is asked for, decides.
func TestStale(t *testing.T) {
	services := []netip.Prefix{netip.MustParsePrefix("fdff::/112"), netip.MustParsePrefix("244.0.0.0/16")}
	served := flow("244.0.0.1:53", "10.1.0.5:5353")
	bare := flow("244.0.0.1:53", "244.0.0.1:53")
	tcp, strange := served, served
	tcp.Protocol, strange.Protocol = serviceport.TCP, 47
	keep := func(f Flow) bool { return f == served }
	const pod, host, transit = "10.2.0.5", "192.0.2.1", "245.0.0.7"
	at := func(f Flow, client, source string, answered bool) entry {
		return entry{f, netip.MustParseAddr(client), netip.MustParseAddr(source), answered}
	}
	came := Stale{Services: services, Keep: keep, Unanswered: true, Remote: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")},
		Own: []netip.Prefix{netip.MustParsePrefix("10.2.0.0/16")}, Transit: []netip.Addr{netip.MustParseAddr(transit)}}
	noTransit, others := came, came
	noTransit.Transit, others.Others = nil, []serviceport.Key{served.Key}
	direct, hairpin := flow("10.1.0.5:53", "10.1.0.5:53"), flow("244.0.0.1:53", pod+":53")
	tcpKept := came
	tcpKept.Keep = func(f Flow) bool { return f == tcp || f == hairpin }
	for _, tt := range []struct {
		name  string
		stale Stale
		entry entry
		want  bool
	}{
		{"its endpoint serves", came, at(served, pod, pod, true), false},
		{"its endpoint is gone", Stale{Services: services}, at(served, pod, pod, true), true},
		{"its endpoint has another port", came, at(flow("244.0.0.1:53", "10.1.0.5:5354"), pod, pod, true), true},
		{"its port is another", came, at(flow("244.0.0.1:54", "10.1.0.5:5353"), pod, pod, true), true},
		{"a connection notices", came, at(tcp, pod, pod, true), false},
		{"a connection that is not answered by what is gone", came, at(tcp, pod, pod, false), true},
		{"the same, and no rules came", Stale{Services: services}, at(tcp, pod, pod, false), false},
		{"on its way", came, at(served, pod, pod, false), false},
		{"a connection that is on its way", tcpKept, at(tcp, pod, pod, false), false},
		{"masqueraded", came, at(served, pod, host, false), true},
		{"masqueraded, and no rules came", Stale{Services: services, Keep: keep}, at(served, pod, host, false), false},
		{"masqueraded and answered", came, at(served, pod, host, true), false},
		{"its own endpoint", tcpKept, at(hairpin, pod, host, false), false},
		{"of the node", came, at(served, host, transit, false), false},
		{"of the node, as it is", came, at(served, host, host, false), true},
		{"of the node, without transit addresses", noTransit, at(served, host, host, false), false},
		{"a strange protocol", came, at(strange, pod, pod, false), false},
		{"not translated", came, at(bare, pod, pod, true), true},
		{"of others", others, at(bare, pod, host, false), false},
		{"outside", Stale{Services: services[:1], Unanswered: true}, at(served, pod, host, false), false},
		{"without a service", came, at(direct, pod, pod, false), false},
		{"without a service, masqueraded", came, at(direct, pod, host, false), true},
		{"without a service, masqueraded and answered", came, at(direct, pod, host, true), false},
		{"nothing is stale", Stale{}, at(served, pod, pod, false), false},
	} {
		if got := tt.stale.holds(tt.entry); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func flow(vip, endpoint string) Flow {
	ap := netip.MustParseAddrPort(vip)
	return Flow{Key: serviceport.Key{Address: ap.Addr(), Protocol: serviceport.UDP, Port: ap.Port()}, Endpoint: netip.MustParseAddrPort(endpoint)}
}
