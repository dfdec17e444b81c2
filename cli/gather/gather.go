// Package gather is `kubectl tombolo gather`: a support bundle. No Secret is read for it, and what
// looks like a secret is masked in all that goes into it.
package gather

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/tombolo-net/tombolo/cli/access"
	"github.com/tombolo-net/tombolo/cli/report"
	"github.com/tombolo-net/tombolo/internal/topology"
)

type options struct {
	access *access.Flags
	genericiooptions.IOStreams
	version  string
	file     string
	format   string
	since    time.Duration
	logBytes int
	nodes    []string
}

// NewCommand returns the command. version is the plugin's own.
func NewCommand(flags *access.Flags, streams genericiooptions.IOStreams, version string) *cobra.Command {
	o := &options{access: flags, IOStreams: streams, version: version}
	c := &cobra.Command{
		Use:   "gather",
		Short: "Write a support bundle without secrets",
		Long: `Writes an archive with what one needs to find out why something does not work: tombolo's objects of all clusters that are asked,
events, versions, logs, and what the kernels of the nodes hold. Add the hub's context to have what is on the hub. index.yaml says
what is in it, and what could not be had.

It only reads, and never a Secret. Tokens, passwords and private keys in logs and annotations are masked. The bundle holds names
and addresses of your clusters: look into it before you hand it on.

The exit code is 0 if the bundle was written, also if parts of it could not be had; otherwise 1.`,
		Example: `  kubectl tombolo gather --contexts east,west,hub
  kubectl tombolo gather --since 15m --file /tmp/bundle.tar.gz
  kubectl tombolo gather -o json | jq .missing`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	flags.BindMany(c)
	f := c.Flags()
	f.StringVarP(&o.file, "file", "f", "", "the archive; without it tombolo-gather-TIME.tar.gz in the current folder")
	f.StringVarP(&o.format, "output", "o", "", "json or yaml: print the index of the bundle instead of the name of its file")
	f.DurationVar(&o.since, "since", 2*time.Hour, "how far back logs go")
	f.IntVar(&o.logBytes, "log-bytes", 4<<20, "how many bytes of each log are kept; the end is kept")
	f.StringSliceVar(&o.nodes, "nodes", nil, "of which nodes the kernel's state is gathered; without it of gateways, of nodes in trouble, and of ten others")
	return c
}

func (o *options) validate() error {
	if err := report.CheckFormat(o.format); err != nil {
		return err
	}
	if o.since < time.Second {
		return fmt.Errorf("--since %s: it must be a second or more", o.since)
	}
	if o.logBytes < 1 || o.logBytes > maxFile {
		return fmt.Errorf("--log-bytes %d: it may be 1 to %d", o.logBytes, maxFile)
	}
	return nil
}

func (o *options) run(ctx context.Context) error {
	if err := o.validate(); err != nil {
		return err
	}
	clusters, err := o.access.Clusters()
	if err != nil {
		return err
	}
	for i := range clusters {
		if clusters[i], err = withoutSecrets(clusters[i]); err != nil {
			return err
		}
	}
	made := time.Now().UTC()
	folder := "tombolo-gather-" + made.Format("20060102-150405")
	if o.file == "" {
		o.file = folder + ".tar.gz"
	}
	f, err := create(o.file)
	if err != nil {
		return err
	}
	about, err := o.gather(ctx, clusters, f, folder, index{Made: made, Plugin: o.version})
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(o.file))
	}
	return o.show(about)
}

// gather writes the bundle to out, and returns its index.
func (o *options) gather(ctx context.Context, clusters []*access.Cluster, out io.Writer, folder string, about index) (index, error) {
	steps := report.NewSteps(o.ErrOut)
	all := make([]*gathering, 0, len(clusters))
	err := steps.Do(ctx, "looked at the clusters", func(ctx context.Context, say func(string)) error {
		for _, c := range clusters {
			say(c.Context)
			all = append(all, o.begin(ctx, c))
		}
		return nil
	})
	if err != nil {
		return about, err
	}
	b, closeArchive := newBundle(out, folder, masker{public: publicKeys(ctx, all)}, about)
	for _, g := range all {
		g.bundle = b
		if err := g.run(ctx, steps); err != nil {
			return about, err
		}
		b.knows(g.facts)
	}
	if err := picture(b, all); err != nil {
		return about, err
	}
	about, err = b.finish()
	return about, errors.Join(err, closeArchive(), ctx.Err())
}

// picture puts the clusterset as all clusters see it into the bundle.
func picture(b *bundle, all []*gathering) error {
	var snapshots []topology.Snapshot
	hub := false
	for _, g := range all {
		snapshots = append(snapshots, g.snapshot)
		hub = hub || len(g.facts.Hubs) > 0
	}
	if !hub {
		b.lack("", "what is on the hub", errors.New("no cluster that was asked is the hub: add its context to --contexts"))
	}
	text, err := json.MarshalIndent(topology.Of(snapshots), "", "  ")
	if err != nil {
		return fmt.Errorf("writing the picture of the clusterset: %w", err)
	}
	return b.add("topology.json", "the clusterset as kubectl tombolo status -o json shows it", text)
}

func (o *options) show(about index) error {
	if written, err := report.Object(o.Out, o.format, about); written {
		return err
	}
	if len(about.Missing) > 0 {
		fmt.Fprintf(o.ErrOut, "%s %d things could not be had: index.yaml in the bundle says which, and why\n",
			report.NewPainter(o.ErrOut).Paint(report.Warn), len(about.Missing))
	}
	_, err := fmt.Fprintln(o.Out, o.file)
	return err
}

var notInPaths = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// folderOf is a context's name as a folder.
func folderOf(context string) string {
	if context == "" {
		return "cluster"
	}
	return notInPaths.ReplaceAllString(context, "-")
}
