// Package check is `kubectl tombolo check`: whether a cluster fits, before tombolo is installed, and
// whether it works, after.
package check

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/tombolo-net/tombolo/cli/access"
	"github.com/tombolo-net/tombolo/cli/portprobe"
	"github.com/tombolo-net/tombolo/cli/report"
)

// pause is between two looks with --wait. What the checks look at is of too many kinds to be watched.
const pause = 2 * time.Second

type options struct {
	access *access.Flags
	genericiooptions.IOStreams
	format string
	wait   time.Duration
	probe  bool
	image  string
}

// NewCommand returns the command. image is tombolo's; empty: this build has none.
func NewCommand(flags *access.Flags, streams genericiooptions.IOStreams, image string) *cobra.Command {
	o := &options{access: flags, IOStreams: streams, image: image}
	c := &cobra.Command{
		Use:   "check",
		Short: "Check whether a cluster fits tombolo, or whether tombolo works in it",
		Long: `Before tombolo is installed: looks whether the cluster has what it needs. After: looks at everything that operator and agents
report. Each line has a mark, the name of the check, which docs/troubleshooting.md explains, and what was found. It only reads.

With --probe it also makes, before tombolo is installed, a short-lived pod on each of up to six nodes, in the node's network. They find
out whether tombolo's UDP ports are free, and whether packets to them pass between the nodes and, with --contexts, between the clusters.

The exit code is 0 if no line has ✗, otherwise 1. Lines with ! do not count.`,
		Example: `  kubectl tombolo check
  kubectl tombolo check --contexts east,west -o short
  kubectl tombolo check --wait 2m`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	flags.BindMany(c)
	c.Flags().StringVarP(&o.format, "output", "o", "", "short prints only what is not right; json is for programs")
	c.Flags().BoolVar(&o.probe, "probe", false, "also make a short-lived pod on each node, to try tombolo's UDP ports before it is installed")
	c.Flags().StringVar(&o.image, "probe-image", image, "tombolo's image, for the pods of --probe")
	c.Flags().DurationVar(&o.wait, "wait", 0, "look again for that long, until no line has ✗")
	return c
}

// checked is what was found in one cluster.
type checked struct {
	Context string   `json:"context"`
	Results []result `json:"results"`
}

var errFound = errors.New("something is wrong: see the lines with ✗")

func (o *options) run(ctx context.Context) error {
	if !slices.Contains([]string{"", "short", "json"}, o.format) {
		return fmt.Errorf("--output %q: it may be short or json", o.format)
	}
	clusters, err := o.access.Clusters()
	if err != nil {
		return err
	}
	if o.probe && o.image == "" {
		return errors.New("this build of the plugin belongs to no release: --probe takes --probe-image, the image of tombolo that the nodes can pull")
	}
	until := time.Now().Add(o.wait)
	for {
		all, err := o.look(ctx, clusters)
		if err != nil {
			return err
		}
		fine := !slices.ContainsFunc(all, func(c checked) bool {
			return slices.ContainsFunc(c.Results, func(r result) bool { return r.Level == isError })
		})
		if fine || time.Now().After(until) {
			if err := o.show(all); err != nil || fine {
				return err
			}
			return errFound
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}

// look runs the checks of all clusters.
func (o *options) look(ctx context.Context, clusters []*access.Cluster) (all []checked, err error) {
	var sites []*site
	for _, c := range clusters {
		f := read(ctx, c)
		all = append(all, checked{Context: c.Context, Results: run(f)})
		if f.Unreadable == "" {
			sites = append(sites, &site{facts: f, of: len(all) - 1, Cluster: portprobe.Cluster{Cluster: c, Nodes: probed(f.Nodes)}})
		}
	}
	if !o.probe {
		return all, nil
	}
	return all, report.NewSteps(o.ErrOut).Do(ctx, "tried tombolo's UDP ports", func(ctx context.Context, say func(string)) error {
		return o.probePorts(ctx, sites, func(s *site, found []result) { all[s.of].Results = append(all[s.of].Results, found...) }, say)
	})
}

func (o *options) show(all []checked) error {
	if o.format == "json" {
		text, err := json.MarshalIndent(all, "", "  ")
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(o.Out, string(text))
		return err
	}
	painter := report.NewPainter(o.Out)
	for _, c := range all {
		results := c.Results
		if o.format == "short" {
			results = slices.DeleteFunc(slices.Clone(results), func(r result) bool { return r.Level == isGood })
		}
		if len(all) > 1 && len(results) > 0 {
			fmt.Fprintln(o.Out, c.Context)
		}
		for _, r := range results {
			fmt.Fprintf(o.Out, "%s %s: %s\n", painter.Paint(r.Level.mark()), r.ID, r.Message)
		}
	}
	return nil
}
