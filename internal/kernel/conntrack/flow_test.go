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
	keep := map[Flow]bool{served: true}
	for _, tt := range []struct {
		name  string
		stale Stale
		entry entry
		want  bool
	}{
		{"its endpoint serves", Stale{Services: services, Keep: keep}, entry{served, true}, false},
		{"its endpoint is gone", Stale{Services: services}, entry{served, true}, true},
		{"its endpoint has another port", Stale{Services: services, Keep: keep}, entry{flow("244.0.0.1:53", "10.1.0.5:5354"), true}, true},
		{"its port is another", Stale{Services: services, Keep: keep}, entry{flow("244.0.0.1:54", "10.1.0.5:5353"), true}, true},
		{"a connection notices", Stale{Services: services}, entry{tcp, true}, false},
		{"not answered", Stale{Services: services, Keep: keep}, entry{served, false}, true},
		{"a connection that is not answered", Stale{Services: services, Keep: map[Flow]bool{tcp: true}}, entry{tcp, false}, true},
		{"a strange protocol", Stale{Services: services}, entry{strange, false}, false},
		{"not translated", Stale{Services: services, Keep: keep}, entry{bare, true}, true},
		{"of others", Stale{Services: services, Others: []serviceport.Key{served.Key}}, entry{served, false}, false},
		{"outside", Stale{Services: services[:1], Remote: services[:1]}, entry{served, false}, false},
		{"without a service, not answered", Stale{Remote: services}, entry{served, false}, true},
		{"without a service, answered", Stale{Remote: services}, entry{served, true}, false},
		{"nothing is stale", Stale{}, entry{served, false}, false},
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
