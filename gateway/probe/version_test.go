package probe

import (
	"context"
	"encoding/hex"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// firstPacket is a packet of the protocol's first version, which gateways of the version before
// this one speak: "TMB1", kind, session, sequence, HMAC-SHA256. Its length and every bit of its
// sequence count.
const firstPacket = "544d423101" + "0102030405060708" + "0000000000000005" +
	"35226957e32aa1049fb58fa1e7dcb0018f9e3366147e29502241a9b6144e7076"

func TestFirstVersionOnTheWire(t *testing.T) {
	private1, _ := key(1)
	_, public2 := key(2)
	k, err := linkKey(private1, public2, false)
	if err != nil {
		t.Fatal(err)
	}
	got := hex.EncodeToString(packet{kind: request, session: 0x0102030405060708, sequence: 5}.encode(k))
	if got != firstPacket {
		t.Errorf("a packet without flags is\n%s, want\n%s", got, firstPacket)
	}
}

// firstVersion is an end of the first version: it answers every request with the same session and
// sequence, probes every 300 ms, and counts answers to exactly what it asked.
type firstVersion struct {
	conn     Conn
	key      []byte
	mu       sync.Mutex
	pending  map[uint64]bool
	answered int
}

func (f *firstVersion) run(ctx context.Context, to netip.Addr) {
	var running sync.WaitGroup
	running.Go(func() {
		b := make([]byte, packetSize+1)
		for {
			n, from, err := f.conn.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			f.handle(b[:n], from)
		}
	})
	const session = 0xfedcba9876543210
	for sequence := uint64(0); ctx.Err() == nil; sequence++ {
		f.mu.Lock()
		f.pending[sequence] = true
		f.mu.Unlock()
		data := packet{kind: request, session: session, sequence: sequence}.encode(f.key)
		_, _ = f.conn.WriteToUDPAddrPort(data, netip.AddrPortFrom(to, Port))
		time.Sleep(300 * time.Millisecond)
	}
	_ = f.conn.Close()
	running.Wait()
}

func (f *firstVersion) handle(b []byte, from netip.AddrPort) {
	if len(b) != packetSize {
		return
	}
	got, err := decode(b, f.key, false)
	if err != nil {
		return
	}
	if got.kind == request {
		got.kind = reply
		_, _ = f.conn.WriteToUDPAddrPort(got.encode(f.key), from)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if number := uint64(got.flags)<<flagShift | got.sequence; f.pending[number] {
		delete(f.pending, number)
		f.answered++
	}
}

// A gateway of the version before answers us and takes our answers. What we say of ourselves comes
// back in its answers, and is not taken for its own.
func TestFirstVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newNetwork(time.Millisecond)
		east := n.newEnd(t, 1, 2, eastAddr, westAddr, false)
		private2, _ := key(2)
		_, public1 := key(1)
		k, err := linkKey(private2, public1, false)
		if err != nil {
			t.Fatal(err)
		}
		west := &firstVersion{conn: n.listen(westAddr), key: k, pending: map[uint64]bool{}}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); west.run(ctx, eastAddr) }()
		run(t, func() {
			east.prober.SetDraining(true)
			time.Sleep(10 * time.Second)
			east.want(t, "beside the version before", v1alpha1.LinkUp)
			s := east.status()
			if s.Draining || s.PeerSaysDown || s.Sent-s.Answered > 1 {
				t.Errorf("it is %+v", s)
			}
			west.mu.Lock()
			if west.answered < 30 {
				t.Errorf("the version before got %d answers", west.answered)
			}
			west.mu.Unlock()
			n.set(n.cut, westAddr, true)
			time.Sleep(time.Second)
			east.want(t, "cut", v1alpha1.LinkDown)
			n.set(n.cut, westAddr, false)
			time.Sleep(time.Second)
			east.want(t, "healed", v1alpha1.LinkUp)
		}, east)
		cancel()
		<-done
		time.Sleep(time.Second)
	})
}
