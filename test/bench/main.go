// Command bench measures tombolo, prints a table and writes the same as JSON. Most of it needs a
// lab with tombolo installed, and runs as `bin/lab run --install -- bin/bench`. Three need none:
// `bin/bench --only exchange` measures the exchange through the hub, with API servers and operators
// and without nodes, `bin/bench --only dataplane` what serves clusterset IPs beside kube-proxy, each
// in a kernel of its own, and `bin/bench --only links` how often probes raise a false alarm. One
// needs two gateways in each cluster: `bin/lab run --install --gateways 2 --nodes 3 -- bin/bench
// --only failover`. `make bench` does all.
//
// Absolute figures mean little in user-mode kernels with one CPU each; ratios of things measured
// side by side, in interleaved rounds of one run, do. It never fails for a figure: it measures, it
// does not judge.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/tombolo-net/tombolo/test/bench/dataplane"
	"github.com/tombolo-net/tombolo/test/bench/exchange"
	"github.com/tombolo-net/tombolo/test/bench/figures"
	"github.com/tombolo-net/tombolo/test/bench/links"
)

// The measurements that need no lab, or one with two gateways. They are made only if they are named.
const keyExchange, keyDataplane, keyWireGuard, keyLinks, keyFailover, keyTwoGateways = "exchange", "dataplane", "wireguard", "links", "failover", "two-gateways"

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

	dataplane dataplane.Config
	failover  failoverConfig
}

func newRootCommand() *cobra.Command {
	var o options
	root := &cobra.Command{
		Use:           "bench",
		Short:         "Measure tombolo",
		Example:       "  bin/lab run --install -- bin/bench\n  bin/bench --only exchange,dataplane",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return o.measure(cmd.Context()) },
	}
	f := root.Flags()
	f.StringVar(&o.output, "output", "dist/bench.json", "the file that the figures are written to")
	f.BoolVar(&o.keep, "keep", false, "keep the figures that the file holds and that are not measured now")
	f.StringSliceVar(&o.only, "only", nil,
		"measure these only: propagation, first-answer, ratios (the default: all these, in a lab); exchange; dataplane; wireguard; links; failover, which makes two-gateways, too")
	f.BoolVar(&o.exchange.Quick, "quick", false, "exchange: watch for half as long; dataplane: a tenth of the services, and shorter looks; links: an hour instead of four; failover: each fault 3 times")
	f.IntVar(&o.exchange.Members, "members", exchange.DefaultMembers, "exchange: how many members the clusterset has")
	f.IntVar(&o.exchange.Services, "services", exchange.DefaultServices, "exchange: how many Services each exports")
	f.BoolVar(&o.exchange.NoCrowd, "no-crowd", false,
		"exchange: run no other members and measure only what works without them: joining, and being idle")
	f.StringVar(&o.exchange.Profiles, "profiles", "", "exchange, dataplane: a folder for profiles of what is measured (default none are taken)")
	f.StringSliceVar(&o.dataplane.Only, "subjects", nil,
		"dataplane: what is measured: "+strings.Join(dataplane.Subjects(), ", ")+" (default all)")
	f.StringSliceVar(&o.dataplane.Steps, "steps", nil,
		"dataplane: what is measured after the start: "+strings.Join(dataplane.Steps(), ", ")+" (default all)")
	f.BoolVar(&o.dataplane.Native, "native", false,
		"dataplane: measure in network namespaces of the host's own kernel, which needs root, and not in user-mode kernels")
	f.IntVar(&o.failover.repeats, "repeats", 0, "failover: how often each fault happens (default 20, or 3 with --quick)")
	f.StringSliceVar(&o.failover.faults, "faults", nil, "failover: the faults that happen (default all)")
	root.AddCommand(newWatchCommand(), newLoadCommand(), newInKernelCommand(), newSYNsCommand(), newLinksCommand())
	root.AddCommand(newWireGuardCommands()...)
	return root
}

// measure makes the measurements, writes what was measured also when one fails, and says which did.
func (o options) measure(ctx context.Context) error {
	var all figures.List
	var errs error
	for _, m := range []measurement{
		{keyExchange, "the exchange through the hub", func(ctx context.Context) error { return exchange.Measure(ctx, o.exchange, &all) }},
		{keyDataplane, "the dataplane beside kube-proxy", func(ctx context.Context) error { return o.measureDataplane(ctx, &all) }},
		{keyWireGuard, "userspace WireGuard beside the kernel's", func(ctx context.Context) error { return o.measureWireGuard(ctx, &all) }},
		{keyLinks, "false alarms of links", func(ctx context.Context) error { return o.measureLinks(ctx, &all) }},
		{keyFailover, "faults of one of two gateways", func(ctx context.Context) error { return o.measureFailover(ctx, &all) }},
		{keyTwoGateways, "two gateways beside one", func(ctx context.Context) error { return twoGateways(ctx, o.exchange.Quick, &all) }},
	} {
		if slices.Contains(o.only, m.key) || m.key == keyTwoGateways && slices.Contains(o.only, keyFailover) && len(o.failover.faults) == 0 {
			errs = errors.Join(errs, m.run(ctx))
		}
	}
	apart := []string{keyExchange, keyDataplane, keyWireGuard, keyLinks, keyFailover, keyTwoGateways}
	if len(o.only) == 0 || slices.ContainsFunc(o.only, func(key string) bool { return !slices.Contains(apart, key) }) {
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

// measureLinks takes this program itself.
func (o options) measureLinks(ctx context.Context, all *figures.List) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	return links.Measure(ctx, self, o.exchange.Quick, all)
}

// newLinksCommand makes the command that watches links for some hours of a test's clock.
func newLinksCommand() *cobra.Command {
	return &cobra.Command{
		Use:    links.Command + " HOURS",
		Short:  "Watch links that lose packets, and print how often they are called down in an hour",
		Args:   cobra.ExactArgs(1),
		Hidden: true,
		RunE: func(_ *cobra.Command, args []string) error {
			hours, err := strconv.Atoi(args[0])
			if err == nil {
				links.Inside(hours)
			}
			return err
		},
	}
}

// measureDataplane takes the lab's command and this program itself from where this program is.
func (o options) measureDataplane(ctx context.Context, all *figures.List) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	c := o.dataplane
	c.Self, c.Lab, c.Quick, c.Profiles = self, filepath.Join(filepath.Dir(self), "lab"), o.exchange.Quick, o.exchange.Profiles
	return dataplane.Measure(ctx, c, all)
}
