package exchange

import (
	"context"
	"time"
)

// usage is what was used up to a moment, or between two.
type usage struct {
	elapsed  time.Duration // since some moment
	cpu      time.Duration // of the operator
	memory   float64       // bytes, of the operator; at that moment
	writes   float64       // to the hub, of exported Services and slices
	leases   float64       // to the hub, heartbeats
	received float64       // bytes that the hub received from the crowd
	sent     float64       // bytes that the hub sent to the measured member
}

// began is any moment.
var began = time.Now()

// usage reads all counters.
func (s *scene) usage(ctx context.Context, crowdWay, ownWay *proxy) (usage, error) {
	total, err := readWrites(ctx, unlimited(s.Cluster(hubName)))
	if err != nil {
		return usage{}, err
	}
	u := usage{
		elapsed: time.Since(began),
		writes:  total.since(nil, "endpointslices", "exportedservices"),
		leases:  total.since(nil, "leases"),
	}
	received, _ := crowdWay.traffic()
	_, sent := ownWay.traffic()
	u.received, u.sent = float64(received), float64(sent)
	if u.cpu, err = s.operator.cpu(); err != nil {
		return usage{}, err
	}
	u.memory, _, err = s.operator.memory()
	return u, err
}

// minus is what was used since before.
func (u usage) minus(before usage) usage {
	u.elapsed -= before.elapsed
	u.cpu -= before.cpu
	u.memory -= before.memory
	u.writes -= before.writes
	u.leases -= before.leases
	u.received -= before.received
	u.sent -= before.sent
	return u
}

// cpuPercent is the operator's share of one core.
func (u usage) cpuPercent() float64 { return 100 * u.cpu.Seconds() / u.elapsed.Seconds() }

func (u usage) bytesReceived() float64 { return u.received }
func (u usage) bytesSent() float64     { return u.sent }

// beyond is how much more of what was used than is used, in so much time, when nothing happens.
func (u usage) beyond(idle usage, what func(usage) float64) float64 {
	return what(u) - what(idle)*u.elapsed.Seconds()/idle.elapsed.Seconds()
}
