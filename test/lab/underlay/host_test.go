package underlay

import (
	"context"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestHostConfig(t *testing.T) {
	for _, test := range []struct {
		name string
		in   HostConfig
		want HostConfig
		ok   bool
	}{
		{"defaults", HostConfig{},
			HostConfig{netip.MustParsePrefix("192.168.127.0/24"), netip.MustParseAddr("192.168.127.1"), netip.MustParseAddr("192.168.127.254"), 1500}, true},
		{"another subnet", HostConfig{Subnet: netip.MustParsePrefix("10.20.0.0/20")},
			HostConfig{netip.MustParsePrefix("10.20.0.0/20"), netip.MustParseAddr("10.20.0.1"), netip.MustParseAddr("10.20.15.254"), 1500}, true},
		{"everything set", HostConfig{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParseAddr("10.9.9.9"), netip.MustParseAddr("10.8.8.8"), 9000},
			HostConfig{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParseAddr("10.9.9.9"), netip.MustParseAddr("10.8.8.8"), 9000}, true},
		{"loopback outside", HostConfig{Loopback: netip.MustParseAddr("10.0.0.1")}, HostConfig{}, false},
		{"IPv6", HostConfig{Subnet: netip.MustParsePrefix("fd00::/64"), Gateway: netip.MustParseAddr("fd00::1"), Loopback: netip.MustParseAddr("fd00::2")}, HostConfig{}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			h, err := NewHost(test.in)
			if (err == nil) != test.ok {
				t.Fatalf("NewHost: %v, want ok = %v", err, test.ok)
			}
			if !test.ok {
				return
			}
			if diff := cmp.Diff(test.want, h.Config(), cmp.Comparer(func(a, b netip.Addr) bool { return a == b }), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
				t.Errorf("Config (-want +got):\n%s", diff)
			}
		})
	}
}

// The host answers who has its loopback's address, and gets no frames that are for others.
func TestHostAnswers(t *testing.T) {
	h, err := NewHost(HostConfig{})
	if err != nil {
		t.Fatal(err)
	}
	s := New()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	hostPort, err := h.Attach(s)
	if err != nil {
		t.Fatal(err)
	}
	node, theirs := newPipe(&s.frames)
	nodePort, err := s.Attach("node", theirs)
	if err != nil {
		t.Fatal(err)
	}
	for _, port := range []*Port{hostPort, nodePort} {
		go func() { ended <- port.Serve(ctx) }()
	}
	question := arp(1, broadcast, macA, netip.MustParseAddr("192.168.127.11"), mac{}, h.Loopback())
	for answered := false; !answered; answered = len(node.drained()) > 0 {
		node.Write(frame(macB, macA, "for somebody else"))
		node.Write(question)
	}
	cancel()
	for range 2 {
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	}
}

// drained returns the ARP answers that have arrived.
func (p *pipe) drained() [][]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	var answers [][]byte
	for _, b := range p.frames.take(nil) {
		if len(b.data) >= 42 && b.data[12] == 8 && b.data[13] == 6 && b.data[21] == 2 {
			answers = append(answers, b.data)
		}
	}
	return answers
}

// arp returns an ARP frame (RFC 826).
func arp(op byte, to, from mac, fromIP netip.Addr, target mac, targetIP netip.Addr) []byte {
	f := append(append([]byte{}, to[:]...), from[:]...)
	f = append(f, 8, 6, 0, 1, 8, 0, 6, 4, 0, op)
	f = append(append(f, from[:]...), fromIP.AsSlice()...)
	return append(append(f, target[:]...), targetIP.AsSlice()...)
}
