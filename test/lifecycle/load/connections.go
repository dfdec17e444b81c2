package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tombolo-net/tombolo/test/lifecycle/report"
)

// connections are in use all the time.
type connections struct {
	to     netip.AddrPort
	pace   int // how many ticks a connection rests between two exchanges
	reopen bool
	all    []*connection
	counts report.Connections
	buffer [1024]byte
}

// connection exchanges lines.
type connection struct {
	fd int
	// line is the one on its way, or the last one; answer what has come of its answer.
	line   int64
	answer string
	// sent is when line was sent; rest is how many ticks to wait before the next one.
	sent wait
	rest int
	// broken is true after an error.
	broken bool
	// marked is the line whose answer a report waits for.
	marked int64
}

func newConnections(to netip.AddrPort, count, pace int, reopen bool) *connections {
	c := &connections{to: to, pace: pace, reopen: reopen}
	for i := range count {
		c.all = append(c.all, c.open(1+i%pace))
	}
	return c
}

// open begins a connection, whose first exchange is that many ticks later.
func (c *connections) open(rest int) *connection {
	fd, err := begin(c.to)
	c.counts.Open++
	one := &connection{fd: fd, rest: rest, sent: wait{since: time.Now()}}
	c.check(one, err)
	return one
}

func (c *connections) work(now time.Time) {
	for _, one := range c.all {
		if !one.broken {
			c.check(one, c.advance(one, now))
		}
	}
}

func (c *connections) check(one *connection, err error) {
	if err == nil {
		return
	}
	one.broken = true
	unix.Close(one.fd)
	c.counts.Open--
	c.counts.Broken++
	c.counts.Errors = report.Note(c.counts.Errors, err)
}

// advance takes a connection one step further.
func (c *connections) advance(one *connection, now time.Time) error {
	if one.rest > 0 {
		one.rest--
		if one.rest > 0 {
			return nil
		}
		sent, err := send(one.fd, fmt.Appendf(nil, "%d\n", one.line+1))
		if sent {
			one.line, one.sent, one.answer = one.line+1, wait{since: now}, ""
			return nil
		}
		one.rest = 1 // it does not stand yet
		return one.orLate(err, now)
	}
	data, ended, err := receive(one.fd, c.buffer[:])
	one.answer += string(data)
	switch {
	case ended:
		return fmt.Errorf("the server has closed after line %d", one.line)
	case err != nil || !strings.HasSuffix(one.answer, "\n"):
		return one.orLate(err, now)
	case !strings.HasSuffix(" "+one.answer, fmt.Sprintf(" %d\n", one.line)):
		return fmt.Errorf("line %d came back as %q", one.line, one.answer)
	}
	c.counts.Exchanges++
	one.rest = c.pace
	return nil
}

func (one *connection) orLate(err error, now time.Time) error {
	if one.sent.over(now) && err == nil {
		return errLate
	}
	return err
}

// mark asks each connection for an exchange from its beginning to its end.
func (c *connections) mark() {
	for _, one := range c.all {
		one.marked = one.line + 1
	}
}

func (c *connections) settled() bool {
	return !slices.ContainsFunc(c.all, func(one *connection) bool {
		return !one.broken && (one.line < one.marked || one.line == one.marked && one.rest == 0)
	})
}

func (c *connections) report(to *report.Report) {
	to.Connections = c.counts
	if !c.reopen {
		return
	}
	for i, one := range c.all {
		if one.broken {
			c.all[i] = c.open(1 + i%c.pace)
		}
	}
}
