package underlay

import (
	"context"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestHostConfig(t *testing.T) {
	v4, v6 := HostNetworks()
	other := HostNetwork{netip.MustParsePrefix("10.20.0.0/20"), netip.MustParseAddr("10.20.0.1"), netip.MustParseAddr("10.20.15.254")}
	other6 := HostNetwork{netip.MustParsePrefix("fd00::/64"), netip.MustParseAddr("fd00::1"), netip.MustParseAddr("fd00::2")}
	for _, test := range []struct {
		name string
		in   HostConfig
		want HostConfig
		ok   bool
	}{
		{"defaults", HostConfig{}, HostConfig{v4, v6, 1500}, true},
		{"another subnet", HostConfig{V4: other}, HostConfig{other, v6, 1500}, true},
		{"everything set", HostConfig{other, other6, 9000}, HostConfig{other, other6, 9000}, true},
		{"loopback outside", HostConfig{V4: HostNetwork{other.Subnet, other.Gateway, v4.Loopback}}, HostConfig{}, false},
		{"IPv6 for IPv4", HostConfig{V4: other6}, HostConfig{}, false},
		{"IPv4 for IPv6", HostConfig{V6: other}, HostConfig{}, false},
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
	question := arp(1, broadcast, macA, netip.MustParseAddr("192.168.127.11"), mac{}, h.Network(true).Loopback)
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
