package probe

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// bench is a link without a network: probes go and answers come as a test says.
type bench struct {
	*link
	now       time.Time
	lateUntil time.Time
	// probeAt is when the next probe goes, answers are those that are on their way.
	probeAt time.Time
	answers []answer
}

type answer struct {
	sequence uint64
	at       time.Time
}

func newBench() *bench {
	now := time.Unix(1000, 0)
	return &bench{link: newLink(Peer{InUse: true}, nil, now), now: now, probeAt: now}
}

// run probes for that long, an answer coming after rtt unless it is lost, and returns how often the
// link went down.
func (b *bench) run(d, rtt time.Duration, lost func() bool) (downs int) {
	end := b.now.Add(d)
	for ; b.now.Before(end); b.now = b.now.Add(time.Millisecond) {
		for len(b.answers) > 0 && !b.now.Before(b.answers[0].at) {
			b.answered(b.answers[0].sequence, true, b.now)
			b.answers = b.answers[1:]
		}
		if b.expire(b.now, b.lateUntil) {
			downs++
		}
		if !b.now.Before(b.probeAt) {
			if sequence := b.tick(b.now); !lost() {
				b.answers = append(b.answers, answer{sequence, b.now.Add(rtt)})
			}
			b.probeAt = b.probeAt.Add(b.interval)
		}
	}
	return downs
}

func never() bool  { return false }
func always() bool { return true }

// A link is down at most 600 ms after the last answer, whenever the outage begins, and not before
// three probes are lost.
func TestDownInTime(t *testing.T) {
	for phase := range 15 {
		for _, rtt := range []time.Duration{time.Millisecond, 40 * time.Millisecond, 700 * time.Millisecond} {
			b := newBench()
			if downs := b.run(time.Minute+time.Duration(phase)*10*time.Millisecond, rtt, never); downs != 0 {
				t.Fatalf("RTT %s: down without loss", rtt)
			}
			answered := b.answeredAt
			b.run(rtt, rtt, always) // what is on its way comes, when rtt is long
			answered = latest(answered, b.answeredAt)
			for b.status.State == v1alpha1.LinkUp {
				b.run(time.Millisecond, rtt, always)
			}
			if took := b.now.Sub(answered); took > 600*time.Millisecond && rtt < Interval || took < 3*Interval {
				t.Errorf("RTT %s, phase %d: down %s after the last answer", rtt, phase, took)
			}
		}
	}
}

// Two probes lost in a row are no outage.
func TestTwoLost(t *testing.T) {
	b, n := newBench(), 0
	twoOfFive := func() bool { n++; return n%5 < 2 }
	if downs := b.run(time.Minute, 10*time.Millisecond, twoOfFive); downs != 0 {
		t.Errorf("down %d times", downs)
	}
}

// A link that loses one packet in fifty each way goes down less than once in ten hours. It says how
// much it loses, and an outage does not count as loss.
func TestLossyLink(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	lost := func() bool {
		there, back := random.Float64() < 0.02, random.Float64() < 0.02
		return there || back
	}
	b := newBench()
	if downs := b.run(20*time.Hour, 20*time.Millisecond, lost); downs > 2 {
		t.Errorf("down %d times in 20 hours", downs)
	}
	if share := b.statusAt(b.now).Loss; share < 0.02 || share > 0.06 {
		t.Errorf("the share that is lost is %f, want about 0.04", share)
	}
	b.run(3*time.Minute, 20*time.Millisecond, never)
	if downs := b.run(5*time.Second, 20*time.Millisecond, always); downs != 1 {
		t.Errorf("down %d times in an outage", downs)
	}
	b.run(20*time.Second, 20*time.Millisecond, never)
	if share := b.statusAt(b.now).Loss; share > 0.005 {
		t.Errorf("after an outage the share that is lost is %f", share)
	}
}

// A process that did not get to run does not take that for silence of the other end, unless it
// lasts.
func TestLate(t *testing.T) {
	b := newBench()
	b.run(time.Minute, 10*time.Millisecond, never)
	b.run(2*Interval+5*time.Millisecond, 10*time.Millisecond, always)
	b.now = b.now.Add(Interval) // nothing runs
	b.lateUntil = b.now.Add(Interval)
	if b.expire(b.now, b.lateUntil) {
		t.Error("down before waiting answers could be read")
	}
	b.now = b.lateUntil
	if !b.expire(b.now, b.lateUntil) {
		t.Error("up when the pause is over and nothing came")
	}
	b = newBench()
	b.run(time.Minute, 10*time.Millisecond, never)
	for b.now.Sub(b.answeredAt) < lateMost {
		b.tick(b.now)
		b.now = b.now.Add(Interval)
		b.expire(b.now, b.now.Add(Interval))
	}
	if b.status.State != v1alpha1.LinkDown {
		t.Error("up although this process is late for ever")
	}
}

// Probes that could not be sent are not lost ones.
func TestLateProbes(t *testing.T) {
	b := newBench()
	b.run(time.Minute, 10*time.Millisecond, never)
	for range 10 {
		b.now = b.now.Add(2 * Interval)
		if b.expire(b.now, time.Time{}) {
			t.Fatal("down although every probe was answered")
		}
		b.answered(b.tick(b.now), true, b.now.Add(time.Millisecond))
	}
}
