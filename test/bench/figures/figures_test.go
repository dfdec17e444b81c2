package figures

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestQuantile(t *testing.T) {
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64(100 - i)
	}
	for _, tc := range []struct {
		samples []float64
		q, want float64
	}{
		{nil, 0.5, 0},
		{[]float64{7}, 0.99, 7},
		{[]float64{3, 1, 2}, 0.5, 2},
		{hundred, 0.5, 50},
		{hundred, 0.99, 99},
		{hundred, 1, 100},
	} {
		if got := Quantile(tc.samples, tc.q); got != tc.want {
			t.Errorf("quantile %v of %d samples: got %v, want %v", tc.q, len(tc.samples), got, tc.want)
		}
	}
}

func TestUpdate(t *testing.T) {
	file := filepath.Join(t.TempDir(), "dist", "bench.json")
	if err := (List{{"a_ms", 1, "ms"}, {"b_s", 2, "s"}}).Write(file); err != nil {
		t.Fatal(err)
	}
	old, err := Read(file)
	if err != nil {
		t.Fatal(err)
	}
	want := List{{"a_ms", 1, "ms"}, {"b_s", 3, "s"}, {"c_mb", 4, "MB"}}
	if diff := cmp.Diff(want, List{{"b_s", 3, "s"}, {"c_mb", 4, "MB"}}.Update(old)); diff != "" {
		t.Errorf("updated figures (-want +got):\n%s", diff)
	}
	if none, err := Read(file + ".absent"); err != nil || none != nil {
		t.Errorf("an absent file: got %v, %v, want none", none, err)
	}
}

func TestAddTimes(t *testing.T) {
	var got List
	got.AddTimes("answer", []time.Duration{3 * time.Millisecond, 500 * time.Microsecond, time.Millisecond})
	if diff := cmp.Diff(List{{"answer_p50_ms", 1, "ms"}, {"answer_p99_ms", 3, "ms"}}, got); diff != "" {
		t.Errorf("figures (-want +got):\n%s", diff)
	}
}
