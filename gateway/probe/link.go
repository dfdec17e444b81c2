package probe

import (
	"net/netip"
	"time"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

const (
	// Interval between two probes of a link.
	Interval = 300 * time.Millisecond
	// lostForDown is how many probes in a row go unanswered before a link is down.
	lostForDown = 3
	// answersForUp is how many probes in a row are answered, at first, before a link that was down is
	// up again.
	answersForUp = 3
	// maxAnswersForUp is the most answers that a link needs because it flaps: 19 s.
	maxAnswersForUp = 64
	// lateTick is how much time between two probes shows that this process did not get to run: answers
	// may be waiting.
	lateTick = 3 * Interval / 2
	// lateMost is how long a link may be silent all the same.
	lateMost = 10 * Interval
	// calm is how long a link has to stay up for its flapping to be forgotten.
	calm = time.Minute
	// outstanding is how many probes may still be answered: later answers count for nothing.
	outstanding = 16
	// refusedFresh is how long a refusal counts. A kernel sends one a second at most
	// (net.ipv4.icmp_ratelimit).
	refusedFresh = 5 * Interval
	// awayMost is how long an agent may be away while its kernel refuses its probes: time to start a
	// pod again.
	awayMost = 2 * time.Minute
	// rttWeight is the weight of one sample in the mean, 1/8 as in TCP (RFC 6298).
	rttWeight = 8
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
}

// Status is how a link is.
type Status struct {
	State v1alpha1.LinkState
	// Since is when the link came into that state.
	Since time.Time
	// RTT is the mean round trip; zero if none was measured.
	RTT time.Duration
	// Sent and Answered count probes since the link was made.
	Sent, Answered uint64
}

// link is the state of one link. It has no clock: the caller says what time it is.
type link struct {
	peer   Peer
	key    []byte
	status Status
	next   uint64
	sent   [outstanding]sentProbe
	// tickedAt is when the last probe was sent.
	tickedAt time.Time
	// silent is how many probes were sent since the last answer.
	silent int
	// answers is how many probes in a row were answered while down.
	answers int
	// needed is how many have to be, for the link to be up again.
	needed int
	// answeredAt is when the peer last answered, or was taken to be up.
	answeredAt time.Time
	// refusedAt is when the peer's kernel last said, through the tunnel, that no process listens
	// there.
	refusedAt time.Time
}

type sentProbe struct {
	sequence uint64
	at       time.Time
	pending  bool
}

func newLink(peer Peer, key []byte, now time.Time) *link {
	l := &link{peer: peer, key: key, needed: answersForUp}
	l.status = Status{State: v1alpha1.LinkConnecting, Since: now}
	if peer.InUse {
		l.status.State, l.answeredAt = v1alpha1.LinkUp, now
	}
	return l
}

// tick begins the next probe. It returns the probe's sequence number, and whether the state changed
// because too many probes went unanswered.
func (l *link) tick(now time.Time) (sequence uint64, changed bool) {
	late := !l.tickedAt.IsZero() && now.Sub(l.tickedAt) > lateTick && now.Sub(l.answeredAt) < lateMost
	l.tickedAt = now
	if l.silent >= lostForDown && !late && !l.agentAway(now) {
		l.answers = 0
		changed = l.goDown(now)
	} else if l.silent > 1 {
		l.answers = 0
	}
	sequence = l.next
	l.next++
	l.sent[sequence%outstanding] = sentProbe{sequence: sequence, at: now, pending: true}
	l.silent++
	l.status.Sent++
	return sequence, changed
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
	l.silent, l.answeredAt = 0, now
	l.status.Answered++
	l.measure(now.Sub(p.at))
	switch l.status.State {
	case v1alpha1.LinkUp:
		if now.Sub(l.status.Since) >= calm {
			l.needed = answersForUp
		}
		return false
	case v1alpha1.LinkConnecting:
		return l.set(v1alpha1.LinkUp, now)
	}
	if l.answers++; l.answers < l.needed && !alone {
		return false
	}
	return l.set(v1alpha1.LinkUp, now)
}

// agentAway reports whether the link carries packets to a gateway whose agent restarts. Meanwhile
// the gateway's kernel answers that no process listens, and forwards as before.
func (l *link) agentAway(now time.Time) bool {
	return now.Sub(l.refusedAt) <= refusedFresh && now.Sub(l.answeredAt) <= awayMost
}

// goDown makes a link that was up go down. A link that goes down soon after it came up must answer
// twice as long before it is up again.
func (l *link) goDown(now time.Time) (changed bool) {
	if l.status.State != v1alpha1.LinkUp {
		return false
	}
	if now.Sub(l.status.Since) < calm {
		l.needed = min(2*l.needed, maxAnswersForUp)
	}
	return l.set(v1alpha1.LinkDown, now)
}

func (l *link) set(state v1alpha1.LinkState, now time.Time) (changed bool) {
	l.status.State, l.status.Since, l.answers = state, now, 0
	return true
}

func (l *link) measure(rtt time.Duration) {
	if l.status.RTT == 0 {
		l.status.RTT = rtt
		return
	}
	l.status.RTT += (rtt - l.status.RTT) / rttWeight
}
