package probe

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPacket(t *testing.T) {
	private1, public1 := key(1)
	private2, public2 := key(2)
	reached := &Members{}
	reached.Add(1)
	reached.Add(4095)
	for _, want := range []packet{
		{kind: reply, session: 0x0102030405060708, sequence: announcement - 7, flags: fromReplier | saysDown},
		{kind: request, session: 1, sequence: 2, flags: fromRequester | saysDraining, reached: reached},
	} {
		sibling := want.reached != nil
		k1, err := linkKey(private1, public2, sibling)
		if err != nil {
			t.Fatal(err)
		}
		k2, err := linkKey(private2, public1, sibling)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(k1, k2) {
			t.Fatal("the ends derive different keys")
		}
		wire := want.encode(k1)
		got, err := decode(wire, k2, sibling)
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(packet{})); diff != "" || err != nil {
			t.Errorf("decoded (-want +got), error %v:\n%s", err, diff)
		}
		for i := range wire {
			changed := bytes.Clone(wire)
			changed[i] ^= 1
			if _, err := decode(changed, k2, sibling); err == nil {
				t.Errorf("byte %d may be changed", i)
			}
		}
		if _, err := decode(wire, k2, !sibling); err == nil {
			t.Error("a packet of the other sort is taken")
		}
		if _, err := decode(packet{kind: 9}.encode(k1), k2, false); err == nil {
			t.Error("a packet of an unknown kind is taken")
		}
	}
}

func TestMembers(t *testing.T) {
	var m Members
	for _, index := range []int32{1, 8, 4095, 4096, -1} {
		m.Add(index)
	}
	for index, want := range map[int32]bool{0: false, 1: true, 7: false, 8: true, 9: false, 4095: true, 4096: false, -1: false} {
		if m.Has(index) != want {
			t.Errorf("has %d: %t", index, !want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	k := []byte("key")
	f.Add(packet{kind: request, session: 1, sequence: 2, flags: fromRequester}.encode(k), false)
	f.Add(packet{kind: reply, session: 1, sequence: 2, reached: &Members{1}}.encode(k), true)
	f.Add([]byte("TMB1"), false)
	f.Fuzz(func(t *testing.T, b []byte, sibling bool) {
		p, err := decode(b, k, sibling)
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
