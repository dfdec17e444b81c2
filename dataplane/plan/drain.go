package plan

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// drainFor is how long an endpoint that gets no new flows may keep those that it has. Kubernetes' own proxy sets no end.
const drainFor = 15 * time.Minute

// drain marks the candidates that keep their flows and get no new ones: those that leave, and, but for UDP, those of the
// destinations served before that are there yet, be it that they are not ready, that another level carries the flows,
// or that the policy drains their cluster. It returns since when each of them does, appended to drains, sorted, and when
// the first is over.
func (v *view) drain(candidates []candidate, was []Destination, protocol corev1.Protocol, before, drains []drain) ([]drain, time.Time) {
	var again time.Time
	for i := range candidates {
		k := &candidates[i]
		if k.weight > 0 {
			continue
		}
		e, d := &v.endpoints[k.endpoint], v.destination(*k)
		for len(was) > 0 && was[0].Compare(d) < 0 {
			was = was[1:]
		}
		served := len(was) > 0 && was[0].Compare(d) == 0 && protocol != corev1.ProtocolUDP
		leaves := e.state == isLeaving && (e.level != noLevel || v.ranking.kind != onlyNode)
		if !served && !leaves {
			continue
		}
		record := drain{address: d.Address, port: d.Port, since: v.in.Now}
		for len(before) > 0 && before[0].compare(record) < 0 {
			before = before[1:]
		}
		if len(before) > 0 && before[0].compare(record) == 0 && !before[0].since.After(v.in.Now) {
			record = before[0]
		}
		end := record.since.Add(drainFor)
		k.drains = v.in.Now.Before(end)
		if k.drains {
			again = earlier(again, end)
		}
		// One that leaves would begin anew if nothing were known of it.
		if k.drains || leaves {
			drains = append(drains, record)
		}
	}
	return drains, again
}

// kept returns before if the two are the same, else a copy of drains.
func kept(before, drains []drain) []drain {
	if len(drains) == 0 {
		return nil
	}
	if slices.Equal(before, drains) {
		return before
	}
	return slices.Clone(drains)
}
