// Command bench measures tombolo, prints a table and writes the same as JSON. Most of it needs a lab with tombolo
// installed, and runs as `bin/lab run --install -- bin/bench`; `bin/bench --only exchange` needs none: it measures the
// exchange through the hub, with API servers and operators and without nodes. `make bench` does both.
//
// Absolute figures mean little in user-mode kernels with one CPU each; ratios of things measured side by side, in
// interleaved rounds of one run, do. It never fails for a figure: it measures, it does not judge.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/tombolo-net/tombolo/test/bench/exchange"
	"github.com/tombolo-net/tombolo/test/bench/figures"
)

// keyExchange is the measurement that needs no lab. It is made only if it is named.
const keyExchange = "exchange"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := newRootCommand().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	output   string
	keep     bool
	only     []string
	exchange exchange.Config
}

func newRootCommand() *cobra.Command {
	var o options
	root := &cobra.Command{
		Use:           "bench",
		Short:         "Measure tombolo",
		Example:       "  bin/lab run --install -- bin/bench\n  bin/bench --only exchange",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return o.measure(cmd.Context()) },
	}
	f := root.Flags()
	f.StringVar(&o.output, "output", "dist/bench.json", "the file that the figures are written to")
	f.BoolVar(&o.keep, "keep", false, "keep the figures that the file holds and that are not measured now")
	f.StringSliceVar(&o.only, "only", nil,
		"measure these only: propagation, first-answer, ratios, program (the default: all these, in a lab); exchange")
	f.BoolVar(&o.exchange.Quick, "quick", false, "exchange: watch for half as long")
	f.IntVar(&o.exchange.Members, "members", exchange.DefaultMembers, "exchange: how many members the clusterset has")
	f.IntVar(&o.exchange.Services, "services", exchange.DefaultServices, "exchange: how many Services each exports")
	f.BoolVar(&o.exchange.NoCrowd, "no-crowd", false,
		"exchange: run no other members; measures what needs none of them: joining, and being idle")
	f.StringVar(&o.exchange.Profiles, "profiles", "", "exchange: a folder for profiles of the operator and of the others (default none are taken)")
	root.AddCommand(newWatchCommand(), newLoadCommand(), newProgramCommand())
	return root
}

// measure makes the measurements, writes what was measured also when one fails, and says which did.
func (o options) measure(ctx context.Context) error {
	var all figures.List
	var errs error
	if slices.Contains(o.only, keyExchange) {
		m := measurement{keyExchange, "the exchange through the hub", func(ctx context.Context) error {
			return exchange.Measure(ctx, o.exchange, &all)
		}}
		errs = m.run(ctx)
	}
	if len(o.only) == 0 || slices.ContainsFunc(o.only, func(key string) bool { return key != keyExchange }) {
		b, err := newBench(ctx)
		if err == nil {
			err = b.run(ctx, o.only)
			all = append(all, b.figures...)
		}
		errs = errors.Join(errs, err)
	}
	if o.keep {
		old, err := figures.Read(o.output)
		errs = errors.Join(errs, err)
		all = all.Update(old)
	}
	all.Print(os.Stdout)
	return errors.Join(errs, all.Write(o.output))
}
