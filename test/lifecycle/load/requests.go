package main

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tombolo-net/tombolo/test/lifecycle/report"
)

// requests are begun on time, however long the earlier ones take.
type requests struct {
	to       netip.AddrPort
	interval time.Duration
	next     time.Time
	pending  []*request
	counts   report.Requests
	// marked is the number of the last request that a report waits for.
	marked int64
	buffer [1024]byte
}

// request is one that has not ended.
type request struct {
	number int64
	begun  wait
	fd     int
	sent   bool
	answer string
}

var errLate = errors.New("no answer in time")

// lookOften is for how many ticks a request is looked at in each, and lookSeldom in how many ticks
// once after that: where nothing answers there are thousands.
const lookOften, lookSeldom = 50, 25

// catchUp is how much time is made up for, should this process not have got the CPU: more at once
// would be a burst that keeps it from others.
const catchUp = 2 * tick

func (r *requests) work(now time.Time) {
	if now.Sub(r.next) > catchUp {
		r.next = now.Add(-catchUp)
	}
	for ; !r.next.After(now); r.next = r.next.Add(r.interval) {
		r.counts.Sent++
		fd, err := begin(r.to)
		one := &request{number: r.counts.Sent, begun: wait{since: now}, fd: fd}
		if err != nil {
			r.end(one, now, err)
			continue
		}
		r.pending = append(r.pending, one)
	}
	r.pending = slices.DeleteFunc(r.pending, func(one *request) bool {
		late := one.begun.over(now)
		if one.begun.ticks > lookOften && one.begun.ticks%lookSeldom != 0 {
			return false
		}
		ended, err := r.advance(one)
		if late && !ended && err == nil {
			err = errLate
		}
		if ended || err != nil {
			r.end(one, now, err)
			unix.Close(one.fd)
		}
		return ended || err != nil
	})
}

var question = []byte("GET / HTTP/1.0\r\n\r\n")

// advance takes a request one step further.
func (r *requests) advance(one *request) (ended bool, err error) {
	if !one.sent {
		one.sent, err = send(one.fd, question)
		return false, err
	}
	data, ended, err := receive(one.fd, r.buffer[:])
	one.answer += string(data)
	if status, _, _ := strings.Cut(one.answer, "\r\n"); ended && !strings.HasSuffix(status, " 200 OK") {
		err = fmt.Errorf("answer %q", status)
	}
	return ended, err
}

func (r *requests) end(one *request, now time.Time, err error) {
	r.counts.Slowest = max(r.counts.Slowest, now.Sub(one.begun.since))
	if err != nil {
		r.counts.Failed++
		r.counts.Errors = report.Note(r.counts.Errors, err)
	}
}

func (r *requests) mark() { r.marked = r.counts.Sent }

func (r *requests) settled() bool {
	return !slices.ContainsFunc(r.pending, func(one *request) bool { return one.number <= r.marked })
}

func (r *requests) report(to *report.Report) { to.Requests = r.counts }
