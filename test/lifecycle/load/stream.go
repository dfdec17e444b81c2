package main

import (
	"encoding/binary"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tombolo-net/tombolo/test/lifecycle/report"
)

const (
	// every is how often each end of a stream sends a packet.
	every = 2 * time.Millisecond
	// behind is how much time is made up for if this process did not get the CPU. What was due before
	// is not sent, and not missed by the other end.
	behind = 10 * every
	// settling is how long a report waits for packets on their way.
	settling = time.Second
	// forgotten is how long a server sends to a client that it does not hear.
	forgotten = 5 * time.Minute
)

// message is a packet of a stream.
type message struct {
	number int64
	sent   time.Duration // by the sender's clock
	// epoch is how often the client has begun a new count. The server does as soon as it hears of it.
	epoch int64
	// way is what the sender has seen of the other direction in that epoch, if it is the server.
	way report.Way
}

// magic begins each message: nothing else that the load sends does.
const magic, messageSize = "tombolo stream\n\n", 16 + 7*8

func (m message) append(b []byte) []byte {
	b = append(b, magic...)
	for _, n := range []int64{m.number, int64(m.sent), m.epoch, m.way.Received, m.way.Lost, int64(m.way.Gap), int64(m.way.Ago)} {
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	return b
}

// parseMessage returns false for what is no message.
func parseMessage(b []byte) (message, bool) {
	if len(b) != messageSize || string(b[:len(magic)]) != magic {
		return message{}, false
	}
	at := func(i int) int64 { return int64(binary.BigEndian.Uint64(b[len(magic)+8*i:])) }
	return message{
		number: at(0), sent: time.Duration(at(1)), epoch: at(2),
		way: report.Way{Received: at(3), Lost: at(4), Gap: time.Duration(at(5)), Ago: time.Duration(at(6))},
	}, true
}

// end is one end of a stream.
type end struct {
	begun  time.Time
	number int64
	next   time.Duration // when the next packet is due
	epoch  int64
	seen   tracker
}

func newEnd(now time.Time) end { return end{begun: now} }

// due returns the packets to send now.
func (e *end) due(now time.Time) (all []message) {
	at := now.Sub(e.begun)
	e.next = max(e.next, at-behind)
	for ; e.next <= at; e.next += every {
		e.number++
		all = append(all, message{number: e.number, sent: at, epoch: e.epoch})
	}
	return all
}

// take takes a packet of the other end.
func (e *end) take(m message, now time.Time) { e.seen.take(m.number, m.sent, now.Sub(e.begun)) }

// renew begins a new count.
func (e *end) renew(epoch int64) {
	e.epoch = epoch
	e.seen.forget()
}

// stream is the client's end.
type stream struct {
	end
	to   netip.AddrPort
	fd   int
	out  report.Way // what the server has told last, in this epoch
	told bool       // it has told anything in this epoch
	// asked is when a report was asked for; zero if none is.
	asked  time.Time
	buffer [2 * messageSize]byte
	packet []byte
}

func newStream(to netip.AddrPort) (*stream, error) {
	fd, err := newPacketSocket(to.Addr())
	if err != nil {
		return nil, err
	}
	return &stream{end: newEnd(time.Now()), to: to, fd: fd}, unix.Connect(fd, sockaddr(to))
}

func (s *stream) work(now time.Time) {
	for _, m := range s.due(now) {
		s.packet = m.append(s.packet[:0])
		_, _ = send(s.fd, s.packet) // an error is of an earlier packet, or this one is lost
	}
	for {
		data, _, err := receive(s.fd, s.buffer[:])
		if err != nil {
			continue // of an earlier packet
		}
		if len(data) == 0 {
			return
		}
		if m, ok := parseMessage(data); ok {
			s.take(m, now)
			if m.epoch == s.epoch {
				s.out, s.told = m.way, true
			}
		}
	}
}

func (s *stream) mark() { s.asked = time.Now() }

func (s *stream) settled() bool { return time.Since(s.asked) > settling }

// report tells what became of the packets since the last report, and begins a new count. What the
// server would have told is taken for lost with its packets.
func (s *stream) report(to *report.Report) {
	to.Stream.Back = s.seen.way(time.Since(s.begun))
	to.Stream.Out = s.out
	if !s.told {
		to.Stream.Out = to.Stream.Back
	}
	s.renew(s.epoch + 1)
	s.out, s.told = report.Way{}, false
}

// streams are the server's ends, by the clients' addresses.
type streams map[netip.AddrPort]*serverEnd

type serverEnd struct {
	end
	fd    int
	to    unix.Sockaddr
	heard time.Time
}

// take takes a packet of a client. It returns false for what is no packet of a stream.
func (s streams) take(data []byte, fd int, from unix.Sockaddr, now time.Time) bool {
	m, ok := parseMessage(data)
	if !ok {
		return false
	}
	client := addrPort(from)
	one := s[client]
	if one == nil {
		one = &serverEnd{end: newEnd(now), fd: fd, to: from}
		s[client] = one
	}
	one.heard = now
	if m.epoch > one.epoch {
		one.renew(m.epoch)
	}
	one.end.take(m, now)
	return true
}

// work sends what is due.
func (s streams) work(now time.Time) {
	for client, one := range s {
		if now.Sub(one.heard) > forgotten {
			delete(s, client)
			continue
		}
		for _, m := range one.due(now) {
			m.way = one.seen.way(now.Sub(one.begun))
			_ = unix.Sendto(one.fd, m.append(nil), 0, one.to) // the client notices
		}
	}
}
