package testbin

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestProgress(t *testing.T) {
	tests := []struct {
		name  string
		tty   bool
		usual time.Duration
		runs  time.Duration
		want  string
	}{
		{name: "short step", usual: 4 * time.Minute, runs: 14 * time.Second,
			want: "testbin: x v1: building, usually 4m\ntestbin: done\n"},
		{name: "a line every 15 s", usual: 80 * time.Second, runs: 31 * time.Second,
			want: "testbin: x v1: building, usually 1m20s\n" +
				"testbin: x v1: building, 15s so far, usually 1m20s\n" +
				"testbin: x v1: building, 30s so far, usually 1m20s\n" +
				"testbin: done\n"},
		{name: "usual duration not known", runs: 16 * time.Second,
			want: "testbin: x v1: building\ntestbin: x v1: building, 15s so far\ntestbin: done\n"},
		{name: "terminal", tty: true, runs: 2500 * time.Millisecond,
			want: "\r\x1b[Ktestbin: x v1: building" +
				"\r\x1b[Ktestbin: x v1: building, 1s so far" +
				"\r\x1b[Ktestbin: x v1: building, 2s so far" +
				"\r\x1b[Ktestbin: done\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out strings.Builder
				p := &progress{out: &out, tty: tt.tty}
				s := p.begin("x v1", "building", tt.usual)
				time.Sleep(tt.runs) // of the bubble's clock
				if took := s.end(); took != tt.runs {
					t.Errorf("took %s, want %s", took, tt.runs)
				}
				p.say("done")
				if diff := cmp.Diff(tt.want, out.String()); diff != "" {
					t.Errorf("output (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestPhaseShowsWithTheNextLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		s := (&progress{out: &out}).begin("x", "downloading", 0)
		s.setPhase("unpacking")
		time.Sleep(16 * time.Second)
		s.end()
		want := "testbin: x: downloading\ntestbin: x: unpacking, 15s so far\n"
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Errorf("output (-want +got):\n%s", diff)
		}
	})
}

// On a terminal there is one line for all steps, however many run.
func TestSeveralStepsOnATerminal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		p := &progress{out: &out, tty: true}
		a := p.begin("a v1", "building", 0)
		time.Sleep(500 * time.Millisecond)
		b := p.begin("b v2", "building", 0)
		time.Sleep(1100 * time.Millisecond) // not at the same moment as a look at b
		a.end()
		time.Sleep(time.Second)
		b.end()
		want := "\r\x1b[Ktestbin: a v1: building" +
			"\r\x1b[Ktestbin: building a (0.0s so far), b (0.0s so far)" +
			"\r\x1b[Ktestbin: building a (1s so far), b (0.0s so far)" +
			"\r\x1b[Ktestbin: building a (1s so far), b (1s so far)" +
			"\r\x1b[Ktestbin: b v2: building, 2s so far"
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Errorf("output (-want +got):\n%s", diff)
		}
	})
}

func TestShort(t *testing.T) {
	for in, want := range map[time.Duration]string{
		0:                        "0.0s",
		400 * time.Millisecond:   "0.4s",
		1499 * time.Millisecond:  "1s",
		59600 * time.Millisecond: "1m",
		80 * time.Second:         "1m20s",
		4 * time.Minute:          "4m",
		90 * time.Minute:         "90m",
	} {
		if got := short(in); got != want {
			t.Errorf("short(%s) = %s, want %s", in, got, want)
		}
	}
}
