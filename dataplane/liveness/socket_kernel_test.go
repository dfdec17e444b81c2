//go:build kernel

package liveness

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/tombolo-net/tombolo/test/harness/netns"
)

// TestQuestion: a port that refuses is an answer, and so is one that accepts, in both families. A
// question that has no way fails.
func TestQuestion(t *testing.T) {
	n := netns.New(t)
	n.Do(func() {
		for _, tt := range []struct{ own, nowhere string }{{"127.0.0.1", "203.0.113.1"}, {"::1", "2001:db8::1"}} {
			own := netip.MustParseAddr(tt.own)
			q, err := newQuestion(own)
			if err != nil {
				t.Fatal(err)
			}
			defer q.close()
			listener, err := net.Listen("tcp", netip.AddrPortFrom(own, 0).String())
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
			accepts := listener.Addr().(*net.TCPAddr).AddrPort()
			for _, to := range []netip.AddrPort{netip.AddrPortFrom(own, 7472), accepts, netip.AddrPortFrom(own, 7472)} {
				now := time.Now()
				if err := q.ask(to, now); err != nil || !q.open || !q.asked.Equal(now) {
					t.Fatalf("asking %s: %v, open: %t", to, err, q.open)
				}
				if !answered([]*question{q})[0] || !q.answer() || q.open {
					t.Errorf("%s does not answer", to)
				}
			}
			if established := n.Run("ss", "-Htan", "state", "established"); established != "" {
				t.Errorf("left behind:\n%s", established)
			}
			if err := q.ask(netip.AddrPortFrom(netip.MustParseAddr(tt.nowhere), 7472), time.Now()); err == nil || q.open {
				t.Errorf("a question to %s went out", tt.nowhere)
			}
		}
	})
}

// TestSilence: what is not answered is open.
func TestSilence(t *testing.T) {
	n := netns.New(t)
	n.Run("nft", "add table inet cut; add chain inet cut in { type filter hook input priority 0; policy drop; }")
	n.Do(func() {
		q, err := newQuestion(netip.MustParseAddr("127.0.0.1"))
		if err != nil {
			t.Fatal(err)
		}
		defer q.close()
		if err := q.ask(netip.MustParseAddrPort("127.0.0.1:7472"), time.Now()); err != nil {
			t.Fatal(err)
		}
		if answered([]*question{q})[0] || len(answered(nil)) != 0 {
			t.Error("answered")
		}
		if state := n.Run("ss", "-Htan", "state", "syn-sent"); state == "" {
			t.Error("nothing was sent")
		}
	})
}
