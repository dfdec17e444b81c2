package ask

import (
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/miekg/dns"

	"github.com/tombolo-net/tombolo/dataplane/plan"
	"github.com/tombolo-net/tombolo/internal/explain"
)

// dnsServer knows web, and answers SERVFAIL for the rest.
func dnsServer(t *testing.T) string {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{PacketConn: conn, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		answer := new(dns.Msg)
		answer.SetRcode(q, dns.RcodeServerFailure)
		if q.Question[0].Name == "web." {
			answer.SetReply(q)
			if q.Question[0].Qtype == dns.TypeA {
				answer.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: "web.", Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.IPv4(244, 0, 0, 9)}}
			}
		}
		_ = w.WriteMsg(answer)
	})}
	go func() { _ = server.ActivateAndServe() }()
	t.Cleanup(func() { _ = server.Shutdown() })
	return conn.LocalAddr().String()
}

func TestReply(t *testing.T) {
	agent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/explain/shop/web":
			_, _ = w.Write([]byte(`{"ports":[{"address":"244.0.0.9","outcome":"all"}]}`))
		case "/gateways":
			_, _ = w.Write([]byte(`[{"name":"west-1","used":true}]`))
		default:
			http.Error(w, "this node serves no such thing", http.StatusNotFound)
		}
	}))
	defer agent.Close()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	open := agent.Listener.Addr().String()
	a := Asker{Debug: open}

	got := a.Reply(t.Context(), explain.Question{Import: "shop/web", Names: []string{"web", "old"}, Server: dnsServer(t),
		Connect: []string{open, closed.Addr().String()}})
	want := explain.Reply{
		Decision: &plan.Explained{Ports: []plan.Explanation{{Address: netip.MustParseAddr("244.0.0.9"), Outcome: "all"}}},
		Gateways: []plan.ExplainedGateway{{Name: "west-1", Used: true}},
		DNS: []explain.DNSReply{
			{Name: "web", Type: "A", Code: "NOERROR", Addresses: []netip.Addr{netip.MustParseAddr("244.0.0.9")}}, {Name: "web", Type: "AAAA", Code: "NOERROR"},
			{Name: "old", Type: "A", Code: "SERVFAIL"}, {Name: "old", Type: "AAAA", Code: "SERVFAIL"},
		},
		Connected: []explain.Connected{{To: open, Outcome: explain.Open}, {To: closed.Addr().String(), Outcome: explain.Refused}},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateEmpty(),
		cmpopts.IgnoreFields(explain.Connected{}, "Error"), cmpopts.IgnoreFields(explain.Reply{}, "NoIPv6")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := a.Reply(t.Context(), explain.Question{Import: "shop/old"}); got.Decision != nil || !strings.Contains(got.NoDecision, "no such thing") {
		t.Errorf("of an import that is not served: %+v", got)
	}
}

// TestUDP: loopback refuses what nothing listens for, at any size, and what listens may be silent.
func TestUDP(t *testing.T) {
	silent, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	closed, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	loopback := netip.MustParseAddr("127.0.0.1")
	got := Asker{}.Reply(t.Context(), explain.Question{Datagrams: []string{silent.LocalAddr().String(), closed.LocalAddr().String()}, Full: []netip.Addr{loopback}})
	if got.Sent[0].Outcome != explain.TimedOut || got.Sent[1].Outcome != explain.Refused {
		t.Errorf("datagrams: %+v", got.Sent)
	}
	if f := got.Full[0]; f.To != loopback || f.Outcome != explain.Open || f.Bytes < 1500 {
		t.Errorf("full-size packets: %+v", f)
	}
}
