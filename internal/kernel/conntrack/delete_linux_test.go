package conntrack

import (
	"net"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
)

// TestMatch: an entry matches if all of it does; each field alone can differ.
func TestMatch(t *testing.T) {
	w := wanted{flow("244.0.0.1:53", "10.1.0.5:5353"): true}
	entry := func(edit func(*netlink.ConntrackFlow)) *netlink.ConntrackFlow {
		f := &netlink.ConntrackFlow{
			Forward: netlink.IPTuple{SrcIP: net.ParseIP("10.2.0.5"), SrcPort: 4000, DstIP: net.ParseIP("244.0.0.1"), DstPort: 53, Protocol: 17},
			Reverse: netlink.IPTuple{SrcIP: net.ParseIP("10.1.0.5").To4(), SrcPort: 5353, DstIP: net.ParseIP("10.2.0.5"), DstPort: 4000, Protocol: 17},
		}
		edit(f)
		return f
	}
	if !w.MatchConntrackFlow(entry(func(*netlink.ConntrackFlow) {})) {
		t.Error("the flow's entry does not match")
	}
	for _, tt := range []struct {
		name string
		edit func(*netlink.ConntrackFlow)
	}{
		{"protocol", func(f *netlink.ConntrackFlow) { f.Forward.Protocol = 6 }},
		{"strange", func(f *netlink.ConntrackFlow) { f.Forward.Protocol = 47 }},
		{"address", func(f *netlink.ConntrackFlow) { f.Forward.DstIP = net.ParseIP("244.0.0.2") }},
		{"port", func(f *netlink.ConntrackFlow) { f.Forward.DstPort++ }},
		{"endpoint", func(f *netlink.ConntrackFlow) { f.Reverse.SrcIP = net.ParseIP("10.1.0.6") }},
		{"endpoint port", func(f *netlink.ConntrackFlow) { f.Reverse.SrcPort++ }},
		{"no address", func(f *netlink.ConntrackFlow) { f.Forward.DstIP = nil }},
		{"not translated", func(f *netlink.ConntrackFlow) {
			f.Reverse.SrcIP, f.Reverse.SrcPort = f.Forward.DstIP, f.Forward.DstPort
		}},
	} {
		if w.MatchConntrackFlow(entry(tt.edit)) {
			t.Errorf("%s differs, and the entry matches", tt.name)
		}
	}
}

// TestMatchStale: what is kept, not asked for, of another's or not translated does not match.
func TestMatchStale(t *testing.T) {
	entry := &netlink.ConntrackFlow{
		Forward: netlink.IPTuple{SrcIP: net.ParseIP("10.2.0.5"), SrcPort: 4000, DstIP: net.ParseIP("244.0.0.1"), DstPort: 53, Protocol: 17},
		Reverse: netlink.IPTuple{SrcIP: net.ParseIP("10.1.0.5"), SrcPort: 5353, DstIP: net.ParseIP("10.2.0.5"), DstPort: 4000, Protocol: 17},
	}
	bare := *entry
	bare.Reverse.SrcIP, bare.Reverse.SrcPort = bare.Forward.DstIP, bare.Forward.DstPort
	inside := []netip.Prefix{netip.MustParsePrefix("fdff::/112"), netip.MustParsePrefix("244.0.0.0/16")}
	for _, tt := range []struct {
		name  string
		stale Stale
		entry *netlink.ConntrackFlow
		want  bool
	}{
		{"of any protocol", Stale{Inside: inside}, entry, true},
		{"of that protocol", Stale{Inside: inside, Protocol: serviceport.UDP}, entry, true},
		{"another endpoint is kept", Stale{Inside: inside, Keep: map[Flow]bool{flow("244.0.0.1:53", "10.1.0.6:5353"): true}}, entry, true},
		{"kept", Stale{Inside: inside, Keep: map[Flow]bool{flow("244.0.0.1:53", "10.1.0.5:5353"): true}}, entry, false},
		{"of another protocol", Stale{Inside: inside, Protocol: serviceport.TCP}, entry, false},
		{"outside", Stale{Inside: inside[:1]}, entry, false},
		{"not translated", Stale{Inside: inside}, &bare, false},
		{"nothing is stale", Stale{}, entry, false},
	} {
		if got := tt.stale.MatchConntrackFlow(tt.entry); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func flow(vip, endpoint string) Flow {
	ap := netip.MustParseAddrPort(vip)
	return Flow{Key: serviceport.Key{Address: ap.Addr(), Protocol: serviceport.UDP, Port: ap.Port()}, Endpoint: netip.MustParseAddrPort(endpoint)}
}
