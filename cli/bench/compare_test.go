package bench

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/tombolo-net/tombolo/internal/echo"
)

func TestCompare(t *testing.T) {
	inside := []echo.Figures{{BitsPerSecond: 1e9, RoundTripSeconds: 0.001, ConnectionsPerSecond: 1000},
		{BitsPerSecond: 1.1e9, RoundTripSeconds: 0.001, ConnectionsPerSecond: 1100}, {BitsPerSecond: 0.9e9, RoundTripSeconds: 0.001, ConnectionsPerSecond: 900}}
	between := []echo.Figures{{BitsPerSecond: 5e8, RoundTripSeconds: 0.003, ConnectionsPerSecond: 1010},
		{BitsPerSecond: 5e8, RoundTripSeconds: 0.003, ConnectionsPerSecond: 1000}, {BitsPerSecond: 5e8, RoundTripSeconds: 0.003, ConnectionsPerSecond: 2000}}
	got := compare("east", "west", inside, between)
	want := []struct{ shown, between, means string }{
		{"1 Gbit/s (900 Mbit/s to 1.1 Gbit/s)", "500 Mbit/s (500 Mbit/s to 500 Mbit/s)", "one connection carries 50 % as much as inside east"},
		{"1.00 ms (1.00 ms to 1.00 ms)", "3.00 ms (3.00 ms to 3.00 ms)", "a round trip takes 2.00 ms longer than inside east"},
		{"1000/s (900/s to 1100/s)", "1010/s (1000/s to 2000/s)", "no difference can be told between the rate of connections inside east and between the clusters. " +
			"The rounds differ much"},
	}
	for i, r := range got {
		if shown := r.show(r.Inside); shown != want[i].shown || r.show(r.Between) != want[i].between || !strings.HasPrefix(r.Means, want[i].means) {
			t.Errorf("%s: %s, %s: %s; want %+v", r.What, shown, r.show(r.Between), r.Means, want[i])
		}
	}
	if diff := cmp.Diff(Spread{Median: 3, Least: 3, Most: 3, Rounds: []float64{3, 3, 3}}, got[1].Ratio); diff != "" {
		t.Errorf("ratio (-want +got):\n%s", diff)
	}
}
