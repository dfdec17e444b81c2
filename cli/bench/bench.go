// Package bench is `kubectl tombolo bench`: what the way between clusters carries, beside the way
// inside one cluster.
package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/tombolo-net/tombolo/cli/access"
	"github.com/tombolo-net/tombolo/cli/report"
	"github.com/tombolo-net/tombolo/cli/testbed"
)

type options struct {
	access *access.Flags
	genericiooptions.IOStreams
	format   string
	rounds   int
	duration time.Duration
	timeout  time.Duration
}

const (
	// fewest rounds tell how much the figures vary.
	fewest = 3
	// longest is how long one measurement may take. A server obeys no longer than a minute.
	longest = 30 * time.Second
)

// NewCommand returns the command.
func NewCommand(flags *access.Flags, streams genericiooptions.IOStreams) *cobra.Command {
	o := &options{access: flags, IOStreams: streams}
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure the way between clusters beside the way inside one",
		Long: `Makes a namespace with servers and a client in each cluster, and measures from each cluster to each other one: the throughput of one
connection, its round trip, and how many connections a second are opened and answered. Beside each it measures the same inside the
client's cluster, in turns, and so tells what the way between the clusters costs. At the end, and when it is interrupted, everything
is deleted.

The pods run tombolo's own image, which the clusters have. The network is busy meanwhile: others on it may notice.`,
		Example: `  kubectl tombolo bench --contexts east,west
  kubectl tombolo bench --contexts east,west --rounds 10 --duration 5s
  kubectl tombolo bench --contexts east,west -o json | jq '.[] | {from, to, what, ratio: .ratio.median}'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	flags.BindMany(c)
	f := c.Flags()
	f.StringVarP(&o.format, "output", "o", "", "json or yaml, for programs")
	f.IntVar(&o.rounds, "rounds", 5, "how often each way is measured")
	f.DurationVar(&o.duration, "duration", 2*time.Second, "how long each of the three things is measured in a round")
	f.DurationVar(&o.timeout, "timeout", 2*time.Minute, "how long pods and imports may take")
	return c
}

func (o *options) run(ctx context.Context) error {
	if err := report.CheckFormat(o.format); err != nil {
		return err
	}
	switch {
	case o.rounds < fewest:
		return fmt.Errorf("--rounds %d: it takes %d to see how much the figures vary", o.rounds, fewest)
	case o.duration <= 0 || o.duration > longest:
		return fmt.Errorf("--duration %s: it may be up to %s", o.duration, longest)
	}
	clusters, err := o.access.Several()
	if err != nil {
		return err
	}
	bed, err := testbed.New(ctx, clusters)
	if err != nil {
		return err
	}
	steps := report.NewSteps(o.ErrOut)
	var all []Result
	err = bed.Use(ctx, steps, testbed.Stay{Timeout: o.timeout}, func() error {
		return steps.Do(ctx, fmt.Sprintf("measured %d rounds", o.rounds), func(ctx context.Context, say func(string)) error {
			all, err = o.measure(ctx, bed, say)
			return err
		})
	})
	if err != nil {
		return err
	}
	return o.show(all)
}

func (o *options) show(all []Result) error {
	if written, err := report.Object(o.Out, o.format, all); written {
		return err
	}
	var rows [][]string
	for _, r := range all {
		rows = append(rows, []string{r.From, r.To, r.What, r.show(r.Inside), r.show(r.Between), r.Ratio.String()})
	}
	if err := report.Table(o.Out, []string{"FROM", "TO", "WHAT", "INSIDE", "BETWEEN", "RATIO"}, rows); err != nil {
		return err
	}
	fmt.Fprintln(o.Out)
	for _, r := range all {
		fmt.Fprintf(o.Out, "%s -> %s: %s\n", r.From, r.To, r.Means)
	}
	return nil
}
