package dataplane

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/tombolo-net/tombolo/test/bench/guest"
)

// step of a measurement; what has a place for the number of services.
type step struct {
	name, what string
	do         func(context.Context) error
}

// stepFirstPackets is the step that is also measured among few services.
const stepFirstPackets = "first-packets"

// Steps are the names of what is measured among many services.
func Steps() []string {
	var names []string
	for _, s := range (&measurement{}).steps() {
		names = append(names, s.name)
	}
	return names
}

// wanted reports whether the step is to be measured.
func wanted(only []string, name string) bool { return len(only) == 0 || slices.Contains(only, name) }

// steps are what is measured among many services, the start of the subject first.
func (m *measurement) steps() []step {
	return []step{
		{"program", "programming %d services", m.program},
		{"change", "changes of one among %d", m.change},
		{"idle", "idle with %d services", m.idle},
		{"traffic", "throughput and requests beside the pod IP, among %d services", m.traffic},
		{stepFirstPackets, "first packets among %d services", m.firstPackets},
		{"grow", "more endpoints for each of %d services", m.grow},
	}
}

// many measures what it costs to serve many services.
func (m *measurement) many(ctx context.Context) error {
	count, _ := m.counts()
	m.services = services(count, endpoints)
	for i, step := range m.steps() {
		if i > 0 && !wanted(m.Steps, step.name) {
			continue
		}
		began := time.Now()
		if err := step.do(ctx); err != nil {
			return fmt.Errorf(step.what+": %w", len(m.services), err)
		}
		guest.Progress("%s: "+step.what+", %s", m.Subject, len(m.services), time.Since(began).Round(100*time.Millisecond))
	}
	return nil
}

// few measures first packets among few services.
func (m *measurement) few(ctx context.Context) error {
	_, few := m.counts()
	all := services(few, endpoints)
	m.services = all[:fewest]
	if err := m.subject.start(ctx, m.services); err != nil {
		return err
	}
	if err := m.firstPackets(ctx); err != nil {
		return err
	}
	if err := m.subject.put(all[fewest:]...); err != nil {
		return err
	}
	m.services = all
	if err := m.waitChecked(ctx); err != nil {
		return err
	}
	return m.firstPackets(ctx)
}
