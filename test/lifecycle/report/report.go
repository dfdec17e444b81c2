// Package report is what the command load reports about its clients, and how tests start and ask
// it. It judges only by Fault; what the clients do is the command's own.
package report

import (
	"fmt"
	"time"
)

// Report is how all that a load began before it was asked has ended. Counts are since its start,
// except of a stream.
type Report struct {
	Requests    Requests    `json:"requests"`
	Connections Connections `json:"connections"`
	Packets     Packets     `json:"packets"`
	Stream      Stream      `json:"stream"`
}

// Requests are counts of requests over connections of their own.
type Requests struct {
	Sent   int64 `json:"sent"`
	Failed int64 `json:"failed"`
	// Slowest is how long the slowest took.
	Slowest time.Duration `json:"slowest"`
	// Errors are the first ones, with their times.
	Errors []string `json:"errors,omitempty"`
}

// Connections are counts of connections that live as long as the load.
type Connections struct {
	Open      int   `json:"open"`
	Broken    int   `json:"broken"`
	Exchanges int64 `json:"exchanges"`
	// Errors are why they broke.
	Errors []string `json:"errors,omitempty"`
}

// Packets are counts of packets. Each packet should have been answered.
type Packets struct {
	Sent int64 `json:"sent"`
	Lost int64 `json:"lost"`
	// By is the first word of the last answer.
	By string `json:"by"`
	// Errors are the first errors of the socket.
	Errors []string `json:"errors,omitempty"`
}

// notes is how many errors are kept.
const notes = 8

// Note adds the error to the others, unless there are many already.
func Note(all []string, err error) []string {
	if len(all) >= notes {
		return all
	}
	return append(all, fmt.Sprintf("%s %s", time.Now().UTC().Format("15:04:05.000"), err))
}

// Fault is what went wrong between an earlier report and this one; nil if nothing did.
func (r Report) Fault(since Report) error {
	failed, broken, lost := r.Requests.Failed-since.Requests.Failed, r.Connections.Broken-since.Connections.Broken, r.Packets.Lost-since.Packets.Lost
	if failed == 0 && broken == 0 && lost == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d requests failed: %q; %d of %d connections broke: %q; %d of %d packets were lost: %q",
		failed, r.Requests.Sent-since.Requests.Sent, r.Requests.Errors, broken, r.Connections.Open+broken, r.Connections.Errors,
		lost, r.Packets.Sent-since.Packets.Sent, r.Packets.Errors)
}

// Progress is what was done between an earlier report and this one, for a log.
func (r Report) Progress(since Report) string {
	return fmt.Sprintf("%d requests, %d exchanges, %d packets", r.Requests.Sent-since.Requests.Sent,
		r.Connections.Exchanges-since.Connections.Exchanges, r.Packets.Sent-since.Packets.Sent)
}
