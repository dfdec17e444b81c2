package report

import "time"

// Stream is what became of a stream of packets, which go each way every few milliseconds whether
// any arrive or not. Unlike the other counts it is of the packets since the report before.
type Stream struct {
	// Out is from the client to the server, Back the other way.
	Out  Way `json:"out"`
	Back Way `json:"back"`
}

// Way is one direction of a stream.
type Way struct {
	Received int64 `json:"received"`
	Lost     int64 `json:"lost"`
	// Gap is the longest time in which no packet was sent that arrived, by the sender's clock; 0 if
	// none was lost. A sender or a receiver that got no CPU for a while makes no gap.
	Gap time.Duration `json:"gap"`
	// Ago is how long before the report that gap ended; 0 if it goes on.
	Ago time.Duration `json:"ago"`
}

// Lost returns how many packets of both ways were lost.
func (s Stream) Lost() int64 { return s.Out.Lost + s.Back.Lost }

// Gap returns the longest gap of both ways.
func (s Stream) Gap() time.Duration { return max(s.Out.Gap, s.Back.Gap) }
