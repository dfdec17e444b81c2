package view

import (
	"math"
	"strings"
	"time"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/topology"
)

// SamplePrefix begins the keys of samples.
const SamplePrefix = "sample/"

// LinkID names a link of a gateway for the page.
func LinkID(cluster v1alpha1.ClusterID, gateway string, remote v1alpha1.ClusterID, remoteGateway string) string {
	return strings.Join([]string{string(cluster), gateway, string(remote), remoteGateway}, "/")
}

// Counters are what a gateway has counted of a link since it began.
type Counters struct {
	At             time.Time
	Sent, Received float64 // bytes
	RTT            time.Duration
	Loss           float64 // 0 to 1
}

// Sample is what the links do at one time.
type Sample struct {
	Time time.Time `json:"time"`
	// Links by LinkID.
	Links map[string]Measure `json:"links"`
}

// Measure is round trip in ms, loss in percent, and bytes sent and received per second; nil is not
// known.
type Measure [4]*float64

// SampleOf says what the links of the clusters that were asked do. What the gateways count is better
// than what the objects say, which is rounded; before and after are their counters, by LinkID.
func SampleOf(t topology.Topology, before, after map[string]Counters, now time.Time) Sample {
	s := Sample{Time: now, Links: map[string]Measure{}}
	for i := range t.Clusters {
		c := &t.Clusters[i]
		for _, r := range c.Remotes {
			for _, l := range r.Links {
				id := LinkID(c.ID, l.Gateway, r.ID, l.RemoteGateway)
				s.Links[id] = measure(l.Link, before[id], after[id])
			}
		}
	}
	return s
}

func measure(l v1alpha1.Link, before, after Counters) (m Measure) {
	if l.State == v1alpha1.LinkUp {
		m[0], m[1] = rounded(float64(l.RTTMilliseconds)), rounded(float64(l.LossPercent))
		if !after.At.IsZero() {
			m[0], m[1] = rounded(float64(after.RTT.Microseconds())/1000), rounded(after.Loss*100)
		}
		if *m[0] == 0 {
			m[0] = nil // not measured yet
		}
	}
	seconds := after.At.Sub(before.At).Seconds()
	if before.At.IsZero() || seconds <= 0 || after.Sent < before.Sent || after.Received < before.Received {
		return m // not counted twice, or from the beginning again
	}
	m[2], m[3] = rounded((after.Sent-before.Sent)/seconds), rounded((after.Received-before.Received)/seconds)
	return m
}

// rounded is the number with two decimals.
func rounded(x float64) *float64 {
	x = math.Round(x*100) / 100
	return &x
}
