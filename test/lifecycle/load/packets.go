package main

import (
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tombolo-net/tombolo/test/lifecycle/report"
)

// packets are sent at each tick, all by one socket, whether they are answered or not.
type packets struct {
	to netip.AddrPort
	fd int // -1: not yet open
	// pending are the numbers of packets that were not answered yet, and when they were sent.
	pending map[int64]*wait
	counts  report.Packets
	// marked is the number of the last packet that a report waits for.
	marked int64
	buffer [1024]byte
}

func (p *packets) work(now time.Time) {
	p.note(p.open())
	p.counts.Sent++
	p.pending[p.counts.Sent] = &wait{since: now}
	text := fmt.Append(nil, p.counts.Sent)
	if _, err := send(p.fd, text); err != nil { // about an earlier packet; this one was not sent
		p.note(err)
		_, err = send(p.fd, text)
		p.note(err)
	}
	for {
		data, _, err := receive(p.fd, p.buffer[:])
		p.note(err)
		if len(data) == 0 {
			break
		}
		p.take(strings.Fields(string(data)))
	}
	for number, sent := range p.pending {
		if sent.over(now) {
			delete(p.pending, number)
			p.counts.Lost++
		}
	}
}

func (p *packets) open() (err error) {
	if p.fd >= 0 {
		return nil
	}
	if p.fd, err = newPacketSocket(p.to.Addr()); err != nil {
		return err
	}
	return os.NewSyscallError("connect", unix.Connect(p.fd, sockaddr(p.to)))
}

func (p *packets) note(err error) {
	if err != nil {
		p.counts.Errors = report.Note(p.counts.Errors, err)
	}
}

// take takes an answer: who answers, and what was sent.
func (p *packets) take(words []string) {
	if len(words) == 0 {
		return
	}
	p.counts.By = words[0]
	var number int64
	if _, err := fmt.Sscan(words[len(words)-1], &number); err == nil {
		delete(p.pending, number)
	}
}

func (p *packets) mark() { p.marked = p.counts.Sent }

func (p *packets) settled() bool {
	for number := range p.pending {
		if number <= p.marked {
			return false
		}
	}
	return true
}

func (p *packets) report(to *report.Report) { to.Packets = p.counts }
