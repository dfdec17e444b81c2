package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/tombolo-net/tombolo/test/bench/figures"
	"github.com/tombolo-net/tombolo/test/lifecycle/failover"
)

// failoverConfig says which faults are measured.
type failoverConfig struct {
	repeats int
	faults  []string
}

// How often each fault happens.
const repeatsUsual, repeatsQuick = 20, 3

// measureFailover measures, in a lab with two gateways in each cluster, what each fault of a gateway
// leaves. One that fails does not stop the rest.
func (o options) measureFailover(ctx context.Context, all *figures.List) error {
	repeats := repeatsUsual
	if o.exchange.Quick {
		repeats = repeatsQuick
	}
	repeats = cmp.Or(o.failover.repeats, repeats)
	site, err := failover.New(ctx, func(format string, args ...any) { fmt.Fprintf(os.Stderr, "  "+format+"\n", args...) })
	if err != nil {
		return err
	}
	var errs error
	for _, f := range failover.Faults() {
		if len(o.failover.faults) > 0 && !slices.Contains(o.failover.faults, f.Name) || ctx.Err() != nil {
			continue
		}
		outcomes, err := site.Measure(ctx, f, repeats)
		errs = errors.Join(errs, err)
		addOutcomes(all, f.Name, outcomes)
	}
	return errors.Join(errs, site.Close(ctx))
}

// addOutcomes adds a fault's figures. Without outcomes there are none.
func addOutcomes(all *figures.List, name string, outcomes failover.Outcomes) {
	if len(outcomes) == 0 {
		return
	}
	gaps := outcomes.Gaps()
	for _, q := range []struct {
		name  string
		share float64
	}{{"p50", 0.5}, {"p99", 0.99}, {"max", 1}} {
		all.Add("failover_gap_"+q.name+"_ms_"+name, figures.Milliseconds(figures.Quantile(gaps, q.share)), "ms")
	}
	all.Add("failover_lost_"+name, float64(outcomes.Connections()), "connections")
	all.Add("failover_packets_"+name, float64(outcomes.Packets()), "packets")
}
