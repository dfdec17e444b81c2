package plan

import "time"

// health of a level, in hundredths of a percent.
type health uint16

// full is the health of a level that is well.
const full health = 10_000

// percent of the health, such as 66.67.
func (h health) percent() float64 { return float64(h) / 100 }

// healthOf a level with total endpoints, of which ready are ready. Without spillover, one that is
// ready suffices for full health. It is zero only if none is ready.
func healthOf(ready, total int, spillover bool) health {
	switch {
	case ready == 0:
		return 0
	case !spillover || ready >= total:
		return full
	}
	return max(1, health(ready*int(full)/total))
}

// levelMemory is what a plan needs to know of a level. The zero levelMemory: it never had health.
type levelMemory struct {
	// used is the health that its share was made from; never more than it has.
	used health
	// fallen is true if the level lost health and has not had full health since.
	fallen bool
	// better is since when a fallen level has had more health than used, without a break; zero: it
	// has not.
	better time.Time
}

// next is what is known of the level once it has that health. Less health counts at once. More
// counts at once only if the level never fell; otherwise it must last for the pause first.
func (m levelMemory) next(has health, now time.Time, pause time.Duration) levelMemory {
	switch {
	case has < m.used:
		return levelMemory{used: has, fallen: true}
	case has == m.used:
		m.better = time.Time{}
		return m
	case !m.fallen:
		return levelMemory{used: has}
	case m.better.IsZero() || m.better.After(now): // a clock that was set back starts the pause again
		m.better = now
	}
	if now.Sub(m.better) >= pause {
		return m.trust(has)
	}
	return m
}

// trust is what is known of the level when it is used with all the health that it has.
func (m levelMemory) trust(has health) levelMemory {
	return levelMemory{used: has, fallen: m.fallen && has < full}
}

// defaultOverprovisioning is the API's default, Envoy's.
const defaultOverprovisioning = 140

// shares sets the levels' shares, each relative to the sum of all. The sum is zero if no level has
// health. Without spillover, an overprovisioning of zero, the first level that has health gets all
// flows. With spillover each level gets, of what is left, what it can bear: its health times the
// overprovisioning factor. If all of them together cannot bear all flows, each gets its part
// (Envoy, "Priority levels").
func shares(levels []level, overprovisioning int) (sum int) {
	left := int(full)
	for i := range levels {
		l := &levels[i]
		bears := min(int(full), int(l.memory.used)*overprovisioning/100)
		if overprovisioning == 0 && l.memory.used > 0 {
			bears = int(full)
		}
		l.share = min(left, bears)
		left -= l.share
		sum += l.share
	}
	return sum
}
