//go:build e2e

package explain

import (
	"cmp"
	"strings"
	"testing"
	"time"

	"github.com/tombolo-net/tombolo/test/harness/shell"
)

// TestExplain breaks one thing after the other. Between two faults nothing is wrong, and the command
// must find nothing.
func TestExplain(t *testing.T) {
	s := newSite(t)
	s.apply(t, "east", service("web", "web", "http"))
	s.well(t, "web")
	t.Run("check", func(t *testing.T) { s.check(t) })
	t.Run("inside the pod", func(t *testing.T) { s.inPod(t) })
	t.Run("Services", func(t *testing.T) {
		for _, f := range objectFaults() {
			f.inject(t, s)
		}
		for _, f := range objectFaults() {
			t.Run(f.name, func(t *testing.T) { s.named(t, f, cmp.Or(f.asked, f.name), within) })
		}
	})
	for _, f := range clusterFaults(s) {
		if f.long && testing.Short() || f.lab && !s.InLab() {
			continue
		}
		t.Run(f.name, func(t *testing.T) {
			f.inject(t, s)
			limit := within
			if f.long {
				limit = 2 * within // agents count packets, and others need time to notice, too
			}
			s.named(t, f, "web", limit)
		})
		s.well(t, "web")
	}
}

// named fails unless the command, run in time, names the fault and nothing else.
func (s *site) named(t *testing.T, f fault, name string, limit time.Duration) {
	t.Helper()
	var more []string
	if f.enter {
		more = append(more, "--enter")
	}
	began := time.Now()
	for {
		a, err := s.explain(t.Context(), name, more...)
		if err == nil {
			err = f.names(a)
		}
		took := time.Since(began)
		if err == nil {
			t.Logf("named after %.1f s", took.Seconds())
			return
		}
		if took > limit {
			t.Errorf("%s: not named after %.1f s: %v", f.name, took.Seconds(), err)
			return
		}
	}
}

// check demands that the other command finds nothing in a healthy lab.
func (s *site) check(t *testing.T) {
	out, err := shell.Run(t.Context(), "", s.program, "check", "--contexts", "east,west", "-o", "short")
	if err != nil || strings.Contains(out, "✗") {
		t.Errorf("%v: %s", err, out)
	}
}

// inPod demands that nothing is wrong inside the client's pod either, and that it was asked.
func (s *site) inPod(t *testing.T) {
	a, err := s.explain(t.Context(), "web", "--enter")
	if err != nil {
		t.Fatal(err)
	}
	if err := isWell(a); err != nil {
		t.Error(err)
	}
	for _, h := range a.Hops {
		if h.Looked == "pod explain/client" && strings.Contains(h.Message, "the pod itself connects") {
			return
		}
	}
	t.Errorf("nothing was tried inside the pod: %+v", a.Hops)
}
