package underlay

import (
	"errors"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestCut(t *testing.T) {
	for _, test := range []struct {
		name string
		a, b string
		want map[string][]string // what arrives of a broadcast of "a"
	}{
		{"one pair", "a", "b", map[string][]string{"c": {"x"}, HostPort: {"x"}}},
		{"the pair the other way round", "b", "a", map[string][]string{"c": {"x"}, HostPort: {"x"}}},
		{"all nodes", "a", "*", map[string][]string{HostPort: {"x"}}},
		{"all nodes, empty", "a", "", map[string][]string{HostPort: {"x"}}},
		{"all pairs", "*", "*", map[string][]string{HostPort: {"x"}}},
		{"the host", "a", HostPort, map[string][]string{"b": {"x"}, "c": {"x"}}},
		{"another pair", "b", "c", map[string][]string{"b": {"x"}, "c": {"x"}, HostPort: {"x"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSegment(t, "a", "b", "c", HostPort)
				if err := s.Cut(test.a, test.b, Selection{}); err != nil {
					t.Fatal(err)
				}
				s.send("a", frame(broadcast, macA, "x"))
				if diff := cmp.Diff(test.want, s.received()); diff != "" {
					t.Errorf("while cut (-want +got):\n%s", diff)
				}
				if err := s.Heal(test.a, test.b); err != nil {
					t.Fatal(err)
				}
				s.send("a", frame(broadcast, macA, "y"))
				want := map[string][]string{"b": {"y"}, "c": {"y"}, HostPort: {"y"}}
				if diff := cmp.Diff(want, s.received()); diff != "" {
					t.Errorf("when healed (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestFaultErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSegment(t, "a", "b")
		_, captureErr := s.Capture(Pair{A: "a", B: "nobody"})
		for _, test := range []struct {
			name string
			err  error
			want error
		}{
			{"cut", s.Cut("a", "nobody", Selection{}), ErrUnknownPort},
			{"heal", s.Heal("nobody", "*"), ErrUnknownPort},
			{"delay of nobody", s.Delay("nobody", "a", time.Second), ErrUnknownPort},
			{"negative delay", s.Delay("a", "b", -time.Second), ErrOutOfRange},
			{"loss of nobody", s.Loss("a", "nobody", 0.5), ErrUnknownPort},
			{"loss above 1", s.Loss("a", "b", 1.5), ErrOutOfRange},
			{"loss that is no number", s.Loss("a", "b", math.NaN()), ErrOutOfRange},
			{"capture", captureErr, ErrUnknownPort},
		} {
			if !errors.Is(test.err, test.want) {
				t.Errorf("%s: %v, want %v", test.name, test.err, test.want)
			}
		}
	})
}

func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSegment(t, "a", "b")
		const delay = 50 * time.Millisecond
		if err := s.Delay("a", "b", delay); err != nil {
			t.Fatal(err)
		}
		s.send("a", frame(macB, macA, "1"))
		time.Sleep(delay - time.Nanosecond)
		if diff := cmp.Diff(map[string][]string{}, s.received()); diff != "" {
			t.Errorf("too early (-want +got):\n%s", diff)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if diff := cmp.Diff(map[string][]string{"b": {"1"}}, s.received()); diff != "" {
			t.Errorf("when due (-want +got):\n%s", diff)
		}
	})
}

// Frames keep their order when the delay shrinks or goes.
func TestDelayKeepsOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSegment(t, "a", "b")
		var want []string
		for i, delay := range []time.Duration{50 * time.Millisecond, 5 * time.Millisecond, 0, 0, 20 * time.Millisecond} {
			if err := s.Delay("a", "b", delay); err != nil {
				t.Fatal(err)
			}
			s.send("a", frame(macB, macA, fmt.Sprint(i)))
			want = append(want, fmt.Sprint(i))
		}
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		if diff := cmp.Diff(map[string][]string{"b": want}, s.received()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if err := s.Heal("a", "b"); err != nil {
			t.Fatal(err)
		}
		s.send("a", frame(macB, macA, "at once"))
		if diff := cmp.Diff(map[string][]string{"b": {"at once"}}, s.received()); diff != "" {
			t.Errorf("after the delay (-want +got):\n%s", diff)
		}
	})
}

// What is on its way when the pair is cut does not arrive.
func TestCutDropsDelayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSegment(t, "a", "b")
		if err := errors.Join(s.Delay("a", "b", time.Second)); err != nil {
			t.Fatal(err)
		}
		s.send("a", frame(macB, macA, "1"))
		if err := errors.Join(s.Cut("a", "b", Selection{}), s.Heal("a", "b")); err != nil {
			t.Fatal(err)
		}
		s.send("a", frame(macB, macA, "2"))
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if diff := cmp.Diff(map[string][]string{"b": {"2"}}, s.received()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestLoss(t *testing.T) {
	for _, ratio := range []float64{0, 0.3, 1} {
		t.Run(fmt.Sprint(ratio), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSegment(t, "a", "b")
				if err := s.Loss("a", "b", ratio); err != nil {
					t.Fatal(err)
				}
				const sent = 5000
				for range sent {
					s.send("a", frame(macB, macA, ""))
				}
				got := 1 - float64(len(s.received()["b"]))/sent
				if math.Abs(got-ratio) > 0.05 { // seven standard deviations
					t.Errorf("lost %.3f of the frames, want %.3f", got, ratio)
				}
			})
		})
	}
}
