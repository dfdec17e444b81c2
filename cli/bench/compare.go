package bench

import (
	"fmt"
	"math"
	"slices"

	"github.com/tombolo-net/tombolo/internal/echo"
)

// Result is one thing on the way between two clusters, beside the same inside the client's cluster.
type Result struct {
	From string `json:"from"`
	To   string `json:"to"`
	// What is throughput, round trip or connections, and Unit that of the figures: bit/s, s or 1/s.
	What string `json:"what"`
	Unit string `json:"unit"`
	// Inside the client's cluster, and Between the two.
	Inside  Spread `json:"inside"`
	Between Spread `json:"between"`
	// Ratio of the latter to the former, of each round.
	Ratio Spread `json:"ratio"`
	// Means says in plain words what that means.
	Means string `json:"means"`
}

// Spread is what the rounds gave.
type Spread struct {
	Median float64   `json:"median"`
	Least  float64   `json:"least"`
	Most   float64   `json:"most"`
	Rounds []float64 `json:"rounds"`
}

// wide is how far the rounds may lie apart, as a share of their median. Beyond it the figures say little.
const wide = 0.3

// compare puts the rounds between two clusters beside those inside the client's.
func compare(from, to string, inside, between []echo.Figures) (all []Result) {
	for _, one := range []struct {
		what, unit string
		figure     func(echo.Figures) float64
	}{
		{throughput, "bit/s", func(f echo.Figures) float64 { return f.BitsPerSecond }},
		{roundTrip, "s", func(f echo.Figures) float64 { return f.RoundTripSeconds }},
		{connections, "1/s", func(f echo.Figures) float64 { return f.ConnectionsPerSecond }},
	} {
		r := Result{From: from, To: to, What: one.what, Unit: one.unit}
		var here, there, ratios []float64
		for i := range min(len(inside), len(between)) {
			a, b := one.figure(inside[i]), one.figure(between[i])
			here, there, ratios = append(here, a), append(there, b), append(ratios, b/a)
		}
		r.Inside, r.Between, r.Ratio = spreadOf(here), spreadOf(there), spreadOf(ratios)
		r.Means = r.means()
		all = append(all, r)
	}
	return all
}

const (
	throughput  = "throughput"
	roundTrip   = "round trip"
	connections = "connections"
)

// spreadOf is the spread of one round or more.
func spreadOf(rounds []float64) Spread {
	sorted := slices.Sorted(slices.Values(rounds))
	return Spread{Median: sorted[len(sorted)/2], Least: sorted[0], Most: sorted[len(sorted)-1], Rounds: rounds}
}

// isWide tells whether the rounds lie far apart.
func (s Spread) isWide() bool { return s.Most-s.Least > wide*s.Median }

func (r Result) means() string {
	said := ""
	switch ratio := r.Ratio.Median; {
	case r.Ratio.Least <= 1 && r.Ratio.Most >= 1:
		said = fmt.Sprintf("no difference can be told between the %s inside %s and between the clusters", name(r.What), r.From)
	case r.What == throughput:
		said = fmt.Sprintf("one connection carries %s as much as inside %s", percent(ratio), r.From)
	case r.What == roundTrip:
		longer := r.Between.Median - r.Inside.Median
		word := "longer"
		if longer < 0 {
			word = "shorter"
		}
		said = fmt.Sprintf("a round trip takes %s %s than inside %s", seconds(math.Abs(longer)), word, r.From)
	case r.What == connections:
		said = fmt.Sprintf("connections are opened and answered at %s of the rate inside %s", percent(ratio), r.From)
	}
	if r.Inside.isWide() || r.Between.isWide() {
		said += ". The rounds differ much: something else uses the network or the nodes. Do not conclude from this run; repeat it with more --rounds"
	}
	return said
}

// name is how a sentence calls what was measured.
func name(what string) string {
	if what == connections {
		return "rate of connections"
	}
	return what
}

func percent(ratio float64) string { return fmt.Sprintf("%.0f %%", 100*ratio) }

// show is the spread in the words of the unit.
func (r Result) show(s Spread) string {
	in := func(v float64) string { return fmt.Sprintf("%.0f/s", v) }
	switch r.What {
	case throughput:
		in = bits
	case roundTrip:
		in = seconds
	}
	return fmt.Sprintf("%s (%s to %s)", in(s.Median), in(s.Least), in(s.Most))
}

// String is a spread of ratios.
func (s Spread) String() string { return fmt.Sprintf("%.2f (%.2f to %.2f)", s.Median, s.Least, s.Most) }

func bits(v float64) string {
	for _, u := range []struct {
		size float64
		name string
	}{{1e9, "Gbit/s"}, {1e6, "Mbit/s"}} {
		if v >= u.size {
			return fmt.Sprintf("%.3g %s", v/u.size, u.name)
		}
	}
	return fmt.Sprintf("%.0f kbit/s", v/1e3)
}

func seconds(v float64) string {
	if v >= 1 {
		return fmt.Sprintf("%.2f s", v)
	}
	return fmt.Sprintf("%.2f ms", v*1e3)
}
