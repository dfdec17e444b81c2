// Package verify is `kubectl tombolo verify`: end-to-end tests between clusters.
package verify

import (
	"context"
	"errors"
	"fmt"
	"os"
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
	junit    string
	failover bool
	keep     bool
	timeout  time.Duration
	patience time.Duration
}

// NewCommand returns the command.
func NewCommand(flags *access.Flags, streams genericiooptions.IOStreams) *cobra.Command {
	o := &options{access: flags, IOStreams: streams}
	c := &cobra.Command{
		Use:   "verify",
		Short: "Test the way between clusters end to end",
		Long: `Makes a namespace with servers, a client and exported Services in each cluster, and asks from every cluster to every cluster:
clusterset IPs by TCP and UDP, headless Services, session affinity, and whether servers see the client pod's own address. If all of
that works, the endpoints of one cluster go, and the others have to serve. At the end, and when it is interrupted, everything is deleted.

Directly after join it waits until CoreDNS has read its new Corefile, which takes up to two minutes.

The pods run tombolo's own image, which the clusters have. With --allow-failover a gateway of each cluster that has two drains for
some seconds: established flows move to another one.

The exit code is 0 if no test failed, otherwise 1. Tests that were skipped do not count.`,
		Example: `  kubectl tombolo verify --contexts east,west
  kubectl tombolo verify --contexts east,west --allow-failover --junit report.xml
  kubectl tombolo verify --contexts east,west -o json | jq '.[] | select(.outcome != "passed")'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	flags.BindMany(c)
	f := c.Flags()
	f.StringVarP(&o.format, "output", "o", "", "json or yaml, for programs")
	f.StringVar(&o.junit, "junit", "", "also write the results into this file, in the XML of JUnit")
	f.BoolVar(&o.failover, "allow-failover", false, "drain a gateway of each cluster that has two")
	f.BoolVar(&o.keep, "keep", false, "leave the namespaces at the end, to look into them")
	f.DurationVar(&o.patience, "patience", 20*time.Second, "how long a name may take until it answers for the first time")
	f.DurationVar(&o.timeout, "timeout", 2*time.Minute, "how long pods, imports and CoreDNS's reading of its Corefile may take")
	return c
}

var errFailed = errors.New("tests failed: kubectl tombolo explain says why a name does not answer, kubectl tombolo check what is not right")

func (o *options) run(ctx context.Context) error {
	if err := report.CheckFormat(o.format); err != nil {
		return err
	}
	clusters, err := o.access.Several()
	if err != nil {
		return err
	}
	bed, err := testbed.New(ctx, clusters)
	if err != nil {
		return err
	}
	began := time.Now()
	all, err := o.test(ctx, bed)
	if err != nil {
		return err
	}
	if o.junit != "" {
		if err := writeJUnit(o.junit, all, began); err != nil {
			return err
		}
	}
	if err := o.show(all); err != nil {
		return err
	}
	if anyFailed(all) {
		return errFailed
	}
	return nil
}

// test makes the bed, runs the tests and removes the bed.
func (o *options) test(ctx context.Context, bed *testbed.Bed) (all []Result, err error) {
	steps := report.NewSteps(o.ErrOut)
	err = bed.Use(ctx, steps, testbed.Stay{Timeout: o.timeout, Keep: o.keep}, func() error {
		all, err = o.steps(ctx, bed, steps)
		return err
	})
	return all, err
}

// steps runs the tests on the bed.
func (o *options) steps(ctx context.Context, bed *testbed.Bed, steps *report.Steps) ([]Result, error) {
	r := &results{patience: o.patience}
	err := steps.Do(ctx, "asked the DNS servers", func(ctx context.Context, say func(string)) error { return resolvers(ctx, bed, o.timeout, say) })
	if err != nil {
		return nil, err
	}
	for _, step := range []struct {
		what string
		run  func(context.Context, *testbed.Bed, *results, func(string)) error
	}{{"asked from every cluster to every cluster", pairs}, {"drained gateways", gateways}, {"took the endpoints of a cluster away", endpoints}} {
		if step.what == "drained gateways" && !o.failover {
			continue
		}
		if r.failed() {
			steps.Say("tests failed, so nothing fails over")
			break
		}
		err := steps.Do(ctx, step.what, func(ctx context.Context, say func(string)) error { return step.run(ctx, bed, r, say) })
		if err != nil {
			return nil, err
		}
	}
	return r.sorted(), nil
}

func (o *options) show(all []Result) error {
	if written, err := report.Object(o.Out, o.format, all); written {
		return err
	}
	painter := report.NewPainter(o.Out)
	for _, r := range all {
		mark := map[outcome]report.Mark{passed: report.Good, failed: report.Bad, skipped: report.Warn}[r.Outcome]
		fmt.Fprintf(o.Out, "%s %s", painter.Paint(mark), r.name())
		if r.Message != "" {
			fmt.Fprintf(o.Out, ": %s", r.Message)
		}
		fmt.Fprintln(o.Out)
	}
	return nil
}

// name is what the test is called where clusters are named with it.
func (r Result) name() string {
	name := r.Test
	if r.From != "" {
		name = r.From + " -> " + r.To + ": " + name
	} else if r.To != "" {
		name = r.To + ": " + name
	}
	return name
}

// writeJUnit writes the results into a file.
func writeJUnit(path string, all []Result, began time.Time) error {
	text, err := junit(all, began)
	if err != nil {
		return fmt.Errorf("writing the results as XML: %w", err)
	}
	if err := os.WriteFile(path, text, 0o644); err != nil {
		return fmt.Errorf("--junit: %w", err)
	}
	return nil
}
