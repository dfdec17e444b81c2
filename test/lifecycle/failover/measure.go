package failover

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/tombolo-net/tombolo/test/lifecycle/report"
)

// Measure lets the fault happen repeats times, in turn to a gateway of each cluster: the one that
// carries the stream. It returns what was measured, also with an error.
func (s *Site) Measure(ctx context.Context, f Fault, repeats int) (Outcomes, error) {
	var all Outcomes
	for i := range repeats {
		v := victim{cluster: importer, other: exporter}
		if i%2 == 1 {
			v.cluster, v.other = exporter, importer
		}
		o, err := s.once(ctx, f, v)
		if err != nil {
			return all, fmt.Errorf("%s, time %d: %w", f.Name, i+1, err)
		}
		s.log("%s: %s", f.Name, o)
		all = append(all, o)
	}
	return all, nil
}

// once lets the fault happen once, and returns when both clusters are whole again.
func (s *Site) once(ctx context.Context, f Fault, v victim) (o Outcome, err error) {
	restore := func(context.Context) error { return nil }
	if f.Alone {
		if restore, err = s.leaveOne(ctx, v.cluster); err != nil {
			return o, err
		}
	}
	if v.node, err = s.busiest(ctx, v.cluster); err != nil {
		return o, err
	}
	if f.NoAPI {
		if err := s.stopAPI(ctx); err != nil {
			return o, err
		}
	}
	o, err = s.watch(ctx, f, v)
	ctx = context.WithoutCancel(ctx)
	if f.NoAPI {
		err = errors.Join(err, s.startAPI(ctx))
	}
	return o, errors.Join(err, restore(ctx), s.Healthy(ctx))
}

// watch makes the fault, heals it, and says what has become of the load meanwhile.
func (s *Site) watch(ctx context.Context, f Fault, v victim) (o Outcome, err error) {
	before, err := s.load.Report()
	if err != nil {
		return o, err
	}
	begun := time.Now()
	heal, err := f.make(ctx, s, v)
	if err != nil {
		return o, fmt.Errorf("making the fault at %s: %w", v.node, err)
	}
	made := time.Now()
	sleep(ctx, f.hold)
	var healed error
	held, down := time.Since(begun), time.Duration(0)
	if f.watched {
		healed = heal(ctx)
		down = time.Since(begun)
		sleep(ctx, f.rest)
	}
	after, err := s.load.Report()
	asked := time.Now()
	if !f.watched {
		healed = heal(ctx)
	}
	if err := errors.Join(err, healed); err != nil {
		return o, fmt.Errorf("%s at %s: %w", f.Name, v.node, err)
	}
	o = Outcome{Victim: v.node, Gap: after.Stream.Gap(), Packets: after.Stream.Lost(), Connections: after.Connections.Broken - before.Connections.Broken}
	o.Longest = fmt.Sprintf("%s; the fault was made within %s, healed from %s to %s", longest(after.Stream, asked.Sub(begun)),
		round(made.Sub(begun)), round(held), round(down))
	if o.Connections > 0 {
		o.Why = after.Connections.Errors
	}
	if f.Alone {
		o.Gap = max(0, o.Gap-down)
	}
	return o, nil
}

// longest says which direction had the longest gap, and when that ended, if the report was asked for
// so long after the beginning.
func longest(of report.Stream, asked time.Duration) string {
	way, name := of.Out, "out"
	if of.Back.Gap > way.Gap {
		way, name = of.Back, "back"
	}
	return fmt.Sprintf("%s, until %s", name, round(asked-way.Ago))
}

func round(d time.Duration) time.Duration { return d.Round(100 * time.Millisecond) }

// sleep waits, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// sample is how long the tunnels' counters are watched.
const sample = 500 * time.Millisecond

// busiest returns the gateway of a cluster whose tunnels carry most packets.
func (s *Site) busiest(ctx context.Context, cluster string) (name string, err error) {
	gateways, err := s.Nodes(ctx, cluster, gatewayLabel+"=true")
	if err != nil {
		return "", err
	}
	before := map[string]int{}
	for _, g := range gateways {
		if before[g], err = s.tunnelPackets(ctx, g); err != nil {
			return "", err
		}
	}
	sleep(ctx, sample)
	most := -1
	for _, g := range gateways {
		after, err := s.tunnelPackets(ctx, g)
		if err != nil {
			return "", err
		}
		if n := after - before[g]; n > most {
			name, most = g, n
		}
	}
	return name, nil
}

// tunnelPackets returns how many packets the node's tunnels have carried, both ways.
func (s *Site) tunnelPackets(ctx context.Context, node string) (n int, err error) {
	out, err := s.OnNode(ctx, node, "sh", "-c", "cat /sys/class/net/tombolo[0-9]*/statistics/[rt]x_packets")
	if err != nil {
		return 0, err
	}
	for _, word := range strings.Fields(out) {
		k, err := strconv.Atoi(word)
		if err != nil {
			return 0, fmt.Errorf("counters of %s: %w", node, err)
		}
		n += k
	}
	return n, nil
}
