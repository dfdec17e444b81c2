package agent

import (
	"net/netip"
	"slices"
	"time"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/gateway/plan"
	"github.com/tombolo-net/tombolo/gateway/probe"
	"github.com/tombolo-net/tombolo/gateway/wireguard"
)

const (
	// tryFor is how long one endpoint of a remote gateway is tried before the next one. With each
	// round through all of them it doubles, up to tryForMost.
	tryFor     = 2 * time.Second
	tryForMost = 16 * time.Second
)

// candidates says which of a remote gateway's endpoints to send to. While a link has no session its
// endpoints are tried in turn. A session stays where it is. The zero value tries the first ones. It
// is not safe for concurrent use.
type candidates struct {
	trials map[plan.LinkID]trial
	// timer asks for the pass that tries the next endpoint.
	timer *time.Timer
}

// trial is an endpoint that is tried.
type trial struct {
	endpoint netip.AddrPort
	since    time.Time
	// patience is how long it is tried.
	patience time.Duration
}

// endpoints are the ones to send to now.
func (c *candidates) endpoints() map[plan.LinkID]netip.AddrPort {
	endpoints := make(map[plan.LinkID]netip.AddrPort, len(c.trials))
	for id, t := range c.trials {
		endpoints[id] = t.endpoint
	}
	return endpoints
}

// schedule calls f after that time, and not when an earlier schedule said; zero: never.
func (c *candidates) schedule(after time.Duration, f func()) {
	if c.timer != nil {
		c.timer.Stop()
	}
	c.timer = nil
	if after > 0 {
		c.timer = time.AfterFunc(after, f)
	}
}

// judge decides what to try next, after a pass in which the links sent to their Endpoint. It
// returns when to plan again because of that; zero if there is nothing to try.
func (c *candidates) judge(links []plan.Link, have wireguard.State, statuses map[string]probe.Status, now time.Time) (again time.Duration) {
	trials := make(map[plan.LinkID]trial, len(links))
	for _, l := range links {
		if len(l.Endpoints) < 2 {
			continue
		}
		t, wait := c.next(l, have, statuses[linkName(l.LinkID)].State == v1alpha1.LinkUp, now)
		trials[l.LinkID] = t
		if wait > 0 && (again == 0 || wait < again) {
			again = wait
		}
	}
	c.trials = trials
	return again
}

// next is the link's trial from now on, and how long it goes on; zero if the link is well, or its
// session may come back.
func (c *candidates) next(l plan.Link, have wireguard.State, up bool, now time.Time) (trial, time.Duration) {
	device, _ := have.Device(l.Device)
	peer, _ := device.Peer(l.PublicKey)
	t, known := c.trials[l.LinkID]
	if !known || t.endpoint != l.Endpoint {
		t = trial{endpoint: l.Endpoint, since: now, patience: tryFor}
	}
	if peer.Alive || up {
		if slices.Contains(l.Endpoints, peer.Endpoint) {
			t.endpoint = peer.Endpoint // one of them works, whoever tried it
		}
		t.since, t.patience = now, tryFor
		return t, 0
	}
	if rest := t.patience - now.Sub(t.since); rest > 0 {
		return t, rest
	}
	i := (slices.Index(l.Endpoints, t.endpoint) + 1) % len(l.Endpoints)
	if t.endpoint, t.since = l.Endpoints[i], now; i == 0 {
		t.patience = min(2*t.patience, tryForMost)
	}
	return t, time.Nanosecond
}
