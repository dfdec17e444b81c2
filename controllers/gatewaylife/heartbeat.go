package gatewaylife

import (
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// recheck is how long a silent gateway's Lease must stay unchanged between two direct reads of it. A
// gateway renews its Lease within that time. So an outage of the API server, in which nobody could
// renew or see anything, declares nobody dead.
const recheck = clusterset.GatewayLeaseDuration / 2

// heartbeat is what was seen of a gateway's Lease.
type heartbeat struct {
	// renewed is the time in the Lease that was seen last. It is the gateway's clock: it is only
	// compared with itself.
	renewed metav1.MicroTime
	// since is when the Lease was first seen so, by our clock; zero: it has never been seen.
	since time.Time
	// witnessed is true if the Lease changed while we watched it.
	witnessed bool
	// asked is when the API server itself, not the cache, first said that this is still the Lease;
	// zero: it was not asked since the last renewal.
	asked time.Time
}

// pulse is what follows from a heartbeat.
type pulse int

const (
	// unknown: the gateway was not seen to renew its Lease, but it still has time to.
	unknown pulse = iota
	beating
	stopped
)

// see takes the Lease as it was read now.
func (h *heartbeat) see(lease *coordinationv1.Lease, now time.Time) {
	renewed := metav1.MicroTime{}
	if lease.Spec.RenewTime != nil {
		renewed = *lease.Spec.RenewTime
	}
	if h.since.IsZero() {
		*h = heartbeat{renewed: renewed, since: now}
	} else if !h.renewed.Equal(&renewed) {
		*h = heartbeat{renewed: renewed, since: now, witnessed: true}
	}
}

// confirm takes that the API server itself has the same Lease as the one seen last.
func (h *heartbeat) confirm(now time.Time) {
	if h.asked.IsZero() {
		h.asked = now
	}
}

// doubtful reports whether the API server itself should be asked for the Lease now.
func (h *heartbeat) doubtful(now time.Time) bool {
	return now.Sub(h.since) >= recheck && (h.asked.IsZero() || h.dueIn(now) <= 0)
}

// pulse says whether the gateway renews its Lease.
func (h *heartbeat) pulse(now time.Time) pulse {
	switch {
	case now.Sub(h.since) < clusterset.GatewayLeaseDuration:
		if h.witnessed {
			return beating
		}
		return unknown
	case !h.asked.IsZero() && now.Sub(h.asked) >= recheck:
		return stopped
	}
	return unknown
}

// dueIn is how long until the pulse has to be looked at again if nothing is heard; zero or less:
// now.
func (h *heartbeat) dueIn(now time.Time) time.Duration {
	if h.asked.IsZero() {
		return h.since.Add(recheck).Sub(now)
	}
	return max(h.since.Add(clusterset.GatewayLeaseDuration).Sub(now), h.asked.Add(recheck).Sub(now))
}
