// Package hub is `kubectl tombolo hub`: the namespace through which members exchange state.
package hub

import (
	"context"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/cli/access"
	"github.com/tombolo-net/tombolo/cli/apply"
	"github.com/tombolo-net/tombolo/cli/report"
	"github.com/tombolo-net/tombolo/internal/install"
)

type options struct {
	access *access.Flags
	genericiooptions.IOStreams
	apply      apply.Options
	namespace  string
	clusterSet string
}

// NewCommand returns the command.
func NewCommand(flags *access.Flags, streams genericiooptions.IOStreams) *cobra.Command {
	hub := &cobra.Command{
		Use:   "hub",
		Short: "Make the hub of a clusterset",
	}
	o := &options{access: flags, IOStreams: streams}
	c := &cobra.Command{
		Use:   "init",
		Short: "Make a namespace of the current cluster the hub",
		Long: `Makes a namespace of the current cluster the hub of a clusterset: the namespace, tombolo's kinds, a role and admission policies
for members. No process runs there. It may be repeated, which also upgrades the kinds and policies.`,
		Example: `  kubectl tombolo hub init
  kubectl tombolo hub init --clusterset shops --hub-namespace shops-hub
  kubectl tombolo hub init --dry-run=client -o yaml > hub.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	c.Flags().StringVar(&o.clusterSet, "clusterset", "demo", "the clusterset's ID: one RFC 1123 label, for good")
	c.Flags().StringVar(&o.namespace, "hub-namespace", v1alpha1.DefaultHubNamespace, "the namespace that becomes the hub")
	o.apply.Bind(c)
	hub.AddCommand(c)
	return hub
}

func (o *options) run(ctx context.Context) error {
	if err := o.apply.Validate(); err != nil {
		return err
	}
	manifests, err := install.HubManifests(install.HubConfig{Namespace: o.namespace, ClusterSetID: o.clusterSet})
	if err != nil {
		return err
	}
	objects := make([]client.Object, 0, len(manifests))
	for _, m := range manifests {
		objects = append(objects, m)
	}
	if o.apply.DryRun() {
		return o.apply.Print(o.Out, objects...)
	}
	cluster, err := o.access.Cluster()
	if err != nil {
		return err
	}
	if err := o.refuse(ctx, cluster); err != nil {
		return err
	}
	steps := report.NewSteps(o.ErrOut)
	what := fmt.Sprintf("made namespace %s the hub of clusterset %s", o.namespace, o.clusterSet)
	err = steps.Do(ctx, what, func(ctx context.Context, _ func(string)) error {
		if err := apply.Objects(ctx, cluster, objects...); err != nil {
			return err
		}
		return apply.Established(ctx, cluster, objects...)
	})
	if err != nil {
		return err
	}
	accounts, err := unowned(ctx, cluster, o.namespace)
	if err != nil {
		return err
	}
	for _, account := range accounts {
		steps.Warn("%s", unownedText(o.namespace, account))
	}
	steps.Say("\nNext, approve a member:\n  kubectl tombolo member add NAME --cidrs POD-CIDRS")
	return nil
}

// refuse says why the namespace cannot be this clusterset's hub.
func (o *options) refuse(ctx context.Context, cluster client.Client) error {
	namespace := &corev1.Namespace{}
	err := cluster.Get(ctx, client.ObjectKey{Name: o.namespace}, namespace)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("reading namespace %s: %w", o.namespace, err)
	}
	if id := namespace.Labels[v1alpha1.LabelClusterSet]; id != "" && id != o.clusterSet {
		return fmt.Errorf("namespace %s is the hub of clusterset %q: its members would lose their hub. Choose another --hub-namespace, "+
			"or give --clusterset %[2]s", o.namespace, id)
	}
	return nil
}

// Find returns the hub's namespace and its clusterset in the cluster: the one of that name, or the
// only one if the name is empty.
func Find(ctx context.Context, cluster client.Client, name string) (namespace, clusterSet string, err error) {
	var all corev1.NamespaceList
	if err := cluster.List(ctx, &all, client.HasLabels{v1alpha1.LabelClusterSet}); err != nil {
		return "", "", fmt.Errorf("looking for the hub's namespace: %w", err)
	}
	var names []string
	for _, n := range all.Items {
		if name == "" || n.Name == name {
			names, namespace, clusterSet = append(names, n.Name), n.Name, n.Labels[v1alpha1.LabelClusterSet]
		}
	}
	switch slices.Sort(names); len(names) {
	case 0:
		return "", "", fmt.Errorf("the cluster has no hub%s: make one with kubectl tombolo hub init, or choose the hub's --context", called(name))
	case 1:
		return namespace, clusterSet, nil
	}
	return "", "", fmt.Errorf("the cluster is the hub of several clustersets: choose one with --hub-namespace, which may be one of %q", names)
}

func called(name string) string {
	if name == "" {
		return ""
	}
	return fmt.Sprintf(" in namespace %s", name)
}
