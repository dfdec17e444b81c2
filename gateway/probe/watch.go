package probe

import (
	"context"
	"net/netip"
	"time"
)

// outgoing is a packet to send.
type outgoing struct {
	to   netip.AddrPort
	data []byte
}

// watch sends probes, and makes links go down when their time has come. A link goes down by a timer
// of its own, and not with the next probe: an interval is as long as an outage may be.
func (p *Prober) watch(ctx context.Context) {
	var lateUntil time.Time
	wake := time.Now()
	probeAt := wake
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.announce:
			p.send(p.probes(time.Now(), true))
			continue
		case <-timer.C:
		}
		now := time.Now()
		late := now.Sub(wake)
		if late > Interval/2 {
			lateUntil = now.Add(Interval) // this process did not get to run: answers may be waiting
		}
		if late > tooLate {
			p.wasLate(now)
		}
		p.readRefusals(now)
		if p.expire(now, lateUntil) {
			p.changed()
			timer.Reset(0) // who was told comes first, also on a single CPU
			continue
		}
		if !now.Before(probeAt) {
			p.send(p.probes(now, false))
			probeAt = p.nextProbe(probeAt, now)
		}
		wake = p.wakeAt(probeAt, lateUntil)
		timer.Reset(time.Until(wake))
	}
}

// wasLate takes note that this process did not get to run in time.
func (p *Prober) wasLate(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.late.add(now)
}

// nextProbe is an interval after the last probe should have been sent, so that a wake-up that is a
// little late does not slow the probes down.
func (p *Prober) nextProbe(last, now time.Time) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if next := last.Add(p.interval); next.After(now) {
		return next
	}
	return now.Add(p.interval)
}

// readRefusals takes note of the peers whose kernel says that no process listens.
func (p *Prober) readRefusals(now time.Time) {
	refused := p.cfg.Conn.Refused()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, addr := range refused {
		if l, ok := p.byAddress[addr]; ok {
			l.refusedAt = now
		}
	}
}

// expire makes links go down whose time has come, and reports whether there is any.
func (p *Prober) expire(now, lateUntil time.Time) (changed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.byName {
		changed = l.expire(now, lateUntil) || changed
	}
	return changed
}

// wakeAt is when there is something to do next: a probe, or a link to go down.
func (p *Prober) wakeAt(probeAt, lateUntil time.Time) time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	wake := probeAt
	for _, l := range p.byName {
		if at, known := l.downAt(lateUntil); known {
			wake = earliest(wake, at)
		}
	}
	return wake
}

// probes are the requests to all peers. Announcements tell what this end says of itself; their
// answers do not count.
func (p *Prober) probes(now time.Time, announcements bool) []outgoing {
	p.mu.Lock()
	defer p.mu.Unlock()
	probes := make([]outgoing, 0, len(p.byName))
	for _, l := range p.byName {
		request := packet{kind: request, session: p.session, sequence: announcement, flags: fromRequester | p.says(l)}
		if !announcements {
			request.sequence = l.tick(now)
		}
		if l.peer.Sibling {
			request.reached = &p.reached
		}
		probes = append(probes, outgoing{netip.AddrPortFrom(l.peer.Address, Port), request.encode(l.key)})
	}
	return probes
}

// send sends the packets. One that cannot be sent is a lost one.
func (p *Prober) send(packets []outgoing) {
	for _, o := range packets {
		_, _ = p.cfg.Conn.WriteToUDPAddrPort(o.data, o.to)
	}
}
