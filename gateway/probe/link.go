package probe

import (
	"net/netip"
	"time"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

const (
	// Interval between two probes of a link, of a gateway with up to manyLinks links.
	Interval = 150 * time.Millisecond
	// LongInterval is that of a gateway with more links.
	LongInterval = 300 * time.Millisecond
	manyLinks    = 64
	// lostForDown is how many probes in a row go unanswered before a link is down. A link that loses
	// probes all the time goes down later: at 4 % round trips lost, three in a row would be 1.5 false
	// alarms an hour.
	lostForDown      = 3
	lostForDownLossy = 4    // if more than lossy are lost
	lostForDownWorst = 5    // if more than veryLossy are lost
	lossy            = 0.01 // of all round trips
	veryLossy        = 0.03
	// leastSlack is how much later than usual an answer may always be. At most it is an interval.
	leastSlack = 20 * time.Millisecond
	// firstAnswer is how long the first answer may take: TCP's guess (RFC 6298 section 2).
	firstAnswer = time.Second
	// answersForUp is how many probes in a row are answered, at first, before a link that was down is
	// up again.
	answersForUp = 3
	// maxAnswersForUp is the most answers that a link needs because it flaps: 19 s, or 38 s.
	maxAnswersForUp = 128
	// tooLate is how late this process must be to take links down, its own or those of others.
	tooLate = 2 * Interval
	// lateMost is how long a link may be silent while this process does not get to run.
	lateMost = 10 * Interval
	// calm is how long a link has to stay up for its flapping to be forgotten.
	calm = time.Minute
	// outstanding is how many probes may still be answered: later answers count for nothing.
	outstanding = 32
	// refusedFresh is how long a refusal counts. A kernel sends one a second at most
	// (net.ipv4.icmp_ratelimit).
	refusedFresh = 1500 * time.Millisecond
	// awayMost is how long an agent may be away while its kernel refuses its probes: time to start a
	// pod again.
	awayMost = 2 * time.Minute
	// heardFresh is how long ago the other end's last probe may be.
	heardFresh = 5 * time.Second
	// rttWeight and varianceWeight are the weights of one sample, 1/8 and 1/4 as in TCP (RFC 6298).
	rttWeight      = 8
	varianceWeight = 4
)

// Peer is the other end of a link.
type Peer struct {
	// Name is the caller's; unique.
	Name string
	// Group is the remote cluster: links of one group stand in for each other.
	Group string
	// Address is the remote gateway's tunnel address; unique.
	Address netip.Addr
	// PublicKey is the remote gateway's WireGuard key.
	PublicKey [32]byte
	// InUse: the link already carries traffic, so it is up until probes show otherwise.
	InUse bool
	// Sibling: the peer is a gateway of this cluster, and the ends tell each other which clusters
	// they reach.
	Sibling bool
	// Reached are the clusters that a sibling in use reaches, until it tells.
	Reached Members
}

// Status is how a link is.
type Status struct {
	// State is Up if both ends judge so.
	State v1alpha1.LinkState
	// Since is when the link came into that state.
	Since time.Time
	// RTT is the mean round trip; zero if none was measured.
	RTT time.Duration
	// Loss is the share of round trips that were lost in the last two minutes, 0 to 1. Outages do not
	// count.
	Loss float64
	// Draining and PeerSaysDown are what the other end said last: that flows should leave it, and
	// that it judges the link to be down. The first version of the protocol cannot say either.
	Draining, PeerSaysDown bool
	// Heard: the other end's probes arrive, although it does not answer ours.
	Heard bool
	// Reached are the clusters that a sibling says it reaches.
	Reached Members
	// Downs is how often the link went down in the last ten minutes, 16 at most.
	Downs int
	// Late is how often in that time this process did not get to run when it was to probe, 16 at most.
	// Silence of other gateways may follow from it, and theirs of this one's.
	Late int
	// Sent and Answered count probes since the link was made.
	Sent, Answered uint64
}

// link is the state of one link. It has no clock: the caller says what time it is.
type link struct {
	peer   Peer
	key    []byte
	status Status
	// own is what this end judges, from its own probes alone. This is what it tells the other end: if
	// both told what they make of both judgements, they would hold each other down.
	own v1alpha1.LinkState
	// interval between two probes.
	interval time.Duration
	// next is the next probe's number, acked the one after the last that was answered.
	next, acked uint64
	sent        [outstanding]sentProbe
	loss        lossWindow
	// variance is the mean deviation of the round trip.
	variance time.Duration
	// answers is how many probes in a row were answered while down.
	answers int
	// needed is how many have to be, for the link to be up again.
	needed int
	// answeredAt is when the peer last answered, or was taken to be up.
	answeredAt time.Time
	// heardAt is when the peer's last own probe came.
	heardAt time.Time
	// downs are the times at which the link went down.
	downs recent
	// refusedAt is when the peer's kernel last said, through the tunnel, that no process listens
	// there.
	refusedAt time.Time
}

type sentProbe struct {
	sequence uint64
	at       time.Time
	pending  bool
	// counts: the probe was sent while the link was up, so that its loss says something.
	counts bool
}

func newLink(peer Peer, key []byte, now time.Time) *link {
	l := &link{peer: peer, key: key, needed: answersForUp, own: v1alpha1.LinkConnecting, interval: Interval}
	if peer.InUse {
		l.own, l.answeredAt = v1alpha1.LinkUp, now
	}
	l.status = Status{State: l.own, Since: now, Reached: peer.Reached}
	return l
}

// tick begins the next probe and returns its sequence number.
func (l *link) tick(now time.Time) (sequence uint64) {
	sequence = l.next
	l.next++
	p := &l.sent[sequence%outstanding]
	if p.counts {
		l.loss.count(p.pending, now)
	}
	*p = sentProbe{sequence: sequence, at: now, pending: true, counts: l.own == v1alpha1.LinkUp}
	l.status.Sent++
	return sequence
}

// downAt is when the link goes down unless an answer comes; false if that is not known yet. It is
// when the last of the probes that may be lost in a row should have been answered. While this
// process did not get to run, answers may be waiting: lateUntil is when they have been read.
func (l *link) downAt(lateUntil time.Time) (at time.Time, known bool) {
	last := l.acked + l.mayLose() - 1
	if l.own != v1alpha1.LinkUp || last >= l.next {
		return time.Time{}, false
	}
	if p := l.sent[last%outstanding]; p.sequence == last {
		at = p.at.Add(l.patience())
	}
	at = latest(at, earliest(lateUntil, l.answeredAt.Add(lateMost)))
	return latest(at, earliest(l.refusedAt.Add(refusedFresh), l.answeredAt.Add(awayMost))), true
}

// expire makes the link go down if it is time, and returns whether its state changed. While the
// other agent restarts, its gateway's kernel answers that no process listens, and forwards as
// before: for some time the link stays up.
func (l *link) expire(now, lateUntil time.Time) (changed bool) {
	at, known := l.downAt(lateUntil)
	if !known || now.Before(at) {
		return false
	}
	// A link that goes down soon after it came up must answer twice as long before it is up again.
	if now.Sub(l.status.Since) < calm {
		l.needed = min(2*l.needed, maxAnswersForUp)
	}
	l.own, l.answers = v1alpha1.LinkDown, 0
	for i := range l.sent {
		l.sent[i].counts = l.sent[i].counts && !l.sent[i].pending // an outage says nothing of the rest
	}
	return l.combine(now)
}

// mayLose is how many probes in a row may be lost before the link is down.
func (l *link) mayLose() uint64 {
	switch share := l.loss.share(); {
	case share > veryLossy:
		return lostForDownWorst
	case share > lossy:
		return lostForDownLossy
	}
	return lostForDown
}

// patience is how long an answer may take.
func (l *link) patience() time.Duration {
	if l.status.RTT == 0 {
		return firstAnswer
	}
	return l.status.RTT + min(max(4*l.variance, leastSlack), l.interval)
}

// answered counts the answer to a probe and returns whether the state changed. An answer that no
// probe waits for, or that comes twice, does not count. If another link of its group is up, a link
// must prove itself before it is up again. The only link of a group need not: it is better than no
// link.
func (l *link) answered(sequence uint64, alone bool, now time.Time) (changed bool) {
	p := &l.sent[sequence%outstanding]
	if !p.pending || p.sequence != sequence {
		return false
	}
	p.pending = false
	if sequence > l.acked {
		l.answers = 0 // one before it was lost
	}
	l.acked, l.answeredAt = max(l.acked, sequence+1), now
	l.status.Answered++
	l.measure(now.Sub(p.at))
	switch l.own {
	case v1alpha1.LinkUp:
		if now.Sub(l.status.Since) >= calm {
			l.needed = answersForUp
		}
		return false
	case v1alpha1.LinkConnecting:
		l.own = v1alpha1.LinkUp
		return l.combine(now)
	}
	if l.answers++; l.answers < l.needed && !alone {
		return false
	}
	l.own, l.answers = v1alpha1.LinkUp, 0
	return l.combine(now)
}

// told takes what the other end says of itself, and returns whether the status changed.
func (l *link) told(p packet, now time.Time) (changed bool) {
	if p.kind == request {
		l.heardAt = now
	} else if !p.fromOther() {
		return false // it repeats what we said
	}
	before := l.status
	l.status.PeerSaysDown, l.status.Draining = p.flags&saysDown != 0, p.flags&saysDraining != 0
	if p.reached != nil {
		l.status.Reached = *p.reached
	}
	return l.combine(now) || l.status.Draining != before.Draining || l.status.Reached != before.Reached
}

// combine makes one state of both ends' judgements and returns whether it is another one. A fault in
// one direction is one for both ends.
func (l *link) combine(now time.Time) (changed bool) {
	state := l.own
	if state == v1alpha1.LinkUp && l.status.PeerSaysDown {
		state = v1alpha1.LinkDown
	}
	if state == l.status.State {
		return false
	}
	if l.status.State == v1alpha1.LinkUp {
		l.downs.add(now)
	}
	l.status.State, l.status.Since = state, now
	return true
}

// statusAt is how the link is at that time.
func (l *link) statusAt(now time.Time) Status {
	s := l.status
	s.Loss, s.Downs = l.loss.share(), l.downs.count(now)
	s.Heard = s.State != v1alpha1.LinkUp && now.Sub(l.heardAt) < heardFresh && l.heardAt.Sub(l.answeredAt) > 2*l.interval
	return s
}

func (l *link) measure(rtt time.Duration) {
	if l.status.RTT == 0 {
		l.status.RTT, l.variance = rtt, rtt/2
		return
	}
	l.variance += ((l.status.RTT - rtt).Abs() - l.variance) / varianceWeight
	l.status.RTT += (rtt - l.status.RTT) / rttWeight
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
