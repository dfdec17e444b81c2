package failover

import (
	"fmt"
	"slices"
	"time"
)

// Outcome is what one fault has left.
type Outcome struct {
	// Victim is the node that it happened to.
	Victim string
	// Gap is the longest time in which no packet of the stream got through, in either direction. Of
	// a fault that no other gateway can make up for, it is without the time that the node was down.
	Gap time.Duration
	// Longest says in which direction the longest gap was, and when it ended.
	Longest string
	// Packets is how many packets of the stream were lost, both ways.
	Packets int64
	// Connections is how many connections broke, and Why tells of the first ones.
	Connections int
	Why         []string
}

// String returns the outcome for a log.
func (o Outcome) String() string {
	s := fmt.Sprintf("%s: gap %s", o.Victim, o.Gap.Round(time.Millisecond))
	if o.Packets > 0 {
		s += fmt.Sprintf(" (%s)", o.Longest)
	}
	s += fmt.Sprintf(", %d packets lost, %d connections", o.Packets, o.Connections)
	if o.Connections > 0 {
		s += fmt.Sprintf(": %q", o.Why)
	}
	return s
}

// Outcomes are those of one fault, time after time.
type Outcomes []Outcome

// Gaps returns the outcomes' gaps. The slice is the caller's.
func (all Outcomes) Gaps() []time.Duration {
	var gaps []time.Duration
	for _, o := range all {
		gaps = append(gaps, o.Gap)
	}
	return gaps
}

// Worst returns the longest gap; 0 without outcomes.
func (all Outcomes) Worst() time.Duration { return slices.Max(append(all.Gaps(), 0)) }

// Packets returns how many packets were lost in all.
func (all Outcomes) Packets() (n int64) {
	for _, o := range all {
		n += o.Packets
	}
	return n
}

// Connections returns how many connections broke in all.
func (all Outcomes) Connections() (n int) {
	for _, o := range all {
		n += o.Connections
	}
	return n
}
