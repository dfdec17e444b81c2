package probe

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

func TestPacket(t *testing.T) {
	private1, public1 := key(1)
	private2, public2 := key(2)
	k1, err := linkKey(private1, public2)
	if err != nil {
		t.Fatal(err)
	}
	k2, err := linkKey(private2, public1)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(k1, k2) {
		t.Fatal("the ends derive different keys")
	}
	want := packet{kind: reply, session: 0x0102030405060708, sequence: 1<<63 + 7}
	wire := want.encode(k1)
	got, err := decode(wire, k2)
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(packet{})); diff != "" || err != nil {
		t.Errorf("decoded (-want +got), error %v:\n%s", err, diff)
	}
	for i := range wire {
		changed := bytes.Clone(wire)
		changed[i] ^= 1
		if _, err := decode(changed, k2); err == nil {
			t.Errorf("byte %d may be changed", i)
		}
	}
	if _, err := decode(packet{kind: 9}.encode(k1), k2); err == nil {
		t.Error("a packet of an unknown kind is taken")
	}
}

func FuzzDecode(f *testing.F) {
	k := []byte("key")
	f.Add(packet{kind: request, session: 1, sequence: 2}.encode(k))
	f.Add([]byte("TMB1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := decode(b, k)
		if err == nil && !bytes.Equal(p.encode(k), b) {
			t.Errorf("%x decodes to %+v, which encodes differently", b, p)
		}
	})
}

// An answer counts once, and only for a probe that is not too old.
func TestAnswerCountsOnce(t *testing.T) {
	now := time.Unix(0, 0)
	l := newLink(Peer{}, nil, now)
	for range outstanding + 1 {
		l.tick(now)
	}
	for _, tc := range []struct {
		sequence uint64
		want     uint64
	}{{0, 0}, {1, 1}, {1, 1}, {99, 1}, {outstanding, 2}} {
		l.answered(tc.sequence, true, now.Add(time.Second))
		if l.status.Answered != tc.want {
			t.Errorf("after answer %d, %d count, want %d", tc.sequence, l.status.Answered, tc.want)
		}
	}
}

// A process that did not get to run does not take that for silence of the other end, unless it
// lasts.
func TestLateTick(t *testing.T) {
	now := time.Unix(0, 0)
	l := newLink(Peer{InUse: true}, nil, now)
	tick := func(after time.Duration) v1alpha1.LinkState {
		now = now.Add(after)
		l.tick(now)
		return l.status.State
	}
	for range lostForDown {
		tick(Interval)
	}
	if got := tick(1500 * time.Millisecond); got != v1alpha1.LinkUp {
		t.Errorf("after a pause the link is %s", got)
	}
	if got := tick(Interval); got != v1alpha1.LinkDown {
		t.Errorf("when the pause is over and nothing came the link is %s", got)
	}
	l = newLink(Peer{InUse: true}, nil, now)
	var got v1alpha1.LinkState
	for range 6 {
		got = tick(600 * time.Millisecond)
	}
	if got != v1alpha1.LinkDown {
		t.Errorf("when all probes are late the link stays %s", got)
	}
}
