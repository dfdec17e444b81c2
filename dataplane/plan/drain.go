package plan

import (
	"slices"
	"time"

	"github.com/tombolo-net/tombolo/internal/kernel/serviceport"
)

// drainFor is how long an endpoint that gets no new flows may keep those that it has. Kubernetes'
// own proxy sets no end.
const drainFor = 15 * time.Minute

// drain marks the candidates that keep their flows and get no new ones. Those are the endpoints
// that are leaving and, except for UDP, the destinations served before that still exist. The latter
// may not be ready, another level may carry the flows, or the policy may drain their cluster. It
// returns since when each of them drains, appended to drains and sorted, and when the first one
// ends.
func (ch *portChooser) drain(candidates []candidate, was []Destination, protocol serviceport.Protocol, before, drains []drain) ([]drain, time.Time) {
	var again time.Time
	for i := range candidates {
		k := &candidates[i]
		if k.weight > 0 {
			continue
		}
		e, d := &ch.endpoints[k.endpoint], ch.destination(*k)
		for len(was) > 0 && was[0].Compare(d) < 0 {
			was = was[1:]
		}
		served := len(was) > 0 && was[0].Compare(d) == 0 && protocol != serviceport.UDP
		leaves := e.state == isLeaving && (e.level != noLevel || ch.ranking.kind != onlyNode)
		if !served && !leaves {
			continue
		}
		record := drain{address: d.Address, port: d.Port, since: ch.in.Now}
		for len(before) > 0 && before[0].compare(record) < 0 {
			before = before[1:]
		}
		if len(before) > 0 && before[0].compare(record) == 0 && !before[0].since.After(ch.in.Now) {
			record = before[0]
		}
		end := record.since.Add(drainFor)
		k.drains = ch.in.Now.Before(end)
		if k.drains {
			again = earlier(again, end)
		}
		// One that is leaving would begin again if nothing were remembered of it.
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
