// Package explain is `kubectl tombolo explain`: the way of one name, hop by hop.
package explain

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/cli/access"
	"github.com/tombolo-net/tombolo/internal/explain"
)

type options struct {
	access *access.Flags
	genericiooptions.IOStreams
	format string
	from   string
	ifDown string
	enter  bool
}

var formats = []string{"", "wide", "json", "yaml"}

// NewCommand returns the command.
func NewCommand(flags *access.Flags, streams genericiooptions.IOStreams) *cobra.Command {
	o := &options{access: flags, IOStreams: streams}
	c := &cobra.Command{
		Use:   "explain NAME",
		Short: "Follow one name, hop by hop, and say where its way ends",
		Long: `Follows the way of one name from its export to an endpoint: export, Service, endpoints, hub, import, clusterset IP, DNS, the decision of
the client's node, gateway, link, the other side's filter, the endpoint. Each line says what was looked at. The first hop that fails
is named with what to do, and those after it are not looked at.

The client is in the cluster of the current context, or the first of --contexts; name the other clusters there, too, to look at their
side. --from names the client's pod. Without it, one node of the cluster stands for all. The command runs a question in the pod of
tombolo's dataplane on that node (kubectl exec): it asks the cluster's DNS, and connects to endpoints. It changes nothing.

The exit code is 0 if no hop has failed, otherwise 1.`,
		Example: `  kubectl tombolo explain web -n shop
  kubectl tombolo explain web.shop.svc.clusterset.local --contexts west,east --from shop/client-7d4b9
  kubectl tombolo explain web.shop --if-down east
  kubectl tombolo explain web.shop -o json | jq .cause`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args[0]) },
	}
	flags.BindMany(c)
	c.Flags().StringVar(&o.from, "from", "", "namespace/name of the client's pod")
	c.Flags().BoolVar(&o.enter, "enter", false, "also ask inside the client's pod, by an ephemeral container, which stays listed in the pod when it has ended")
	c.Flags().StringVar(&o.ifDown, "if-down", "", "also say where flows would go if that cluster were down")
	c.Flags().StringVarP(&o.format, "output", "o", "", "wide, json or yaml; json and yaml hold everything")
	return c
}

var errFailed = errors.New("the way of the name ends at the line with ✗")

func (o *options) run(ctx context.Context, text string) error {
	if !slices.Contains(formats, o.format) {
		return fmt.Errorf("--output %q: it may be wide, json or yaml", o.format)
	}
	namespace, _, err := o.access.Namespace()
	if err != nil {
		return err
	}
	name, err := explain.ParseName(text, namespace)
	if err != nil {
		return err
	}
	clusters, err := o.access.Clusters()
	if err != nil {
		return err
	}
	if o.enter && o.from == "" {
		return errors.New("--enter takes --from, which names the pod")
	}
	g := gatherer{clusters: clusters, enter: o.enter, facts: explain.Facts{Name: name, IfDown: v1alpha1.ClusterID(o.ifDown), Now: time.Now()}}
	if err := g.gather(ctx, o.from, namespace); err != nil {
		return err
	}
	answer := explain.Of(g.facts)
	if err := write(o.Out, answer, o.format); err != nil {
		return err
	}
	if answer.Cause != nil {
		return errFailed
	}
	return nil
}
