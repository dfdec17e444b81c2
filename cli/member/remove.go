package member

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/cli/access"
	"github.com/tombolo-net/tombolo/cli/hub"
	"github.com/tombolo-net/tombolo/cli/report"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

type removeOptions struct {
	access *access.Flags
	genericiooptions.IOStreams
	hubNamespace string
	purge        bool
	name         string
}

func newRemoveCommand(flags *access.Flags, streams genericiooptions.IOStreams) *cobra.Command {
	o := &removeOptions{access: flags, IOStreams: streams}
	c := &cobra.Command{
		Use:   "remove NAME",
		Short: "Take a member out of the clusterset",
		Long: `Marks the Member as removed. The other members delete what they imported from it, and the hub refuses what it writes.
The Member stays, so that clusters that are away now learn of it later.

With --purge it also deletes what the former member left on the hub, and its account.`,
		Example: `  kubectl tombolo member remove east
  kubectl tombolo member remove east --purge`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { o.name = args[0]; return o.run(cmd.Context()) },
	}
	c.Flags().StringVar(&o.hubNamespace, "hub-namespace", "", "the hub's namespace; without it the only one that the cluster has")
	c.Flags().BoolVar(&o.purge, "purge", false, "also delete its account and what it left on the hub")
	return c
}

func (o *removeOptions) run(ctx context.Context) error {
	cluster, err := o.access.Cluster()
	if err != nil {
		return err
	}
	namespace, _, err := hub.Find(ctx, cluster, o.hubNamespace)
	if err != nil {
		return err
	}
	member := &v1alpha1.Member{}
	if err := cluster.Get(ctx, client.ObjectKey{Namespace: namespace, Name: o.name}, member); err != nil {
		return fmt.Errorf("reading Member %s/%s: %w", namespace, o.name, err)
	}
	steps := report.NewSteps(o.ErrOut)
	err = steps.Do(ctx, "marked member "+o.name+" as removed", func(ctx context.Context, _ func(string)) error {
		before := member.DeepCopy()
		member.Spec.Removed = true
		return cluster.Patch(ctx, member, client.MergeFrom(before))
	})
	if err != nil || !o.purge {
		return err
	}
	return steps.Do(ctx, "deleted its account, and what it left on the hub", func(ctx context.Context, _ func(string)) error {
		return o.deleteRest(ctx, cluster, namespace)
	})
}

// deleteRest deletes what a former member left in the hub's namespace, and its account.
func (o *removeOptions) deleteRest(ctx context.Context, cluster client.Client, namespace string) error {
	for _, kind := range []client.Object{&v1alpha1.GatewayNode{}, &v1alpha1.ExportedService{}, &discoveryv1.EndpointSlice{}, &coordinationv1.Lease{}} {
		err := cluster.DeleteAllOf(ctx, kind, client.InNamespace(namespace), client.MatchingLabels{v1alpha1.LabelSourceCluster: o.name})
		if err != nil {
			return fmt.Errorf("deleting what %s left on the hub: %w", o.name, err)
		}
	}
	id := v1alpha1.ClusterID(o.name)
	account, token := clusterset.MemberServiceAccount(id), clusterset.MemberTokenRole(id)
	meta := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: namespace, Name: name} }
	for _, object := range []client.Object{
		&corev1.Secret{ObjectMeta: meta(clusterset.JoinSecretName(id))}, &rbacv1.RoleBinding{ObjectMeta: meta(account)},
		&rbacv1.RoleBinding{ObjectMeta: meta(token)}, &rbacv1.Role{ObjectMeta: meta(token)}, &corev1.ServiceAccount{ObjectMeta: meta(account)},
	} {
		if err := client.IgnoreNotFound(cluster.Delete(ctx, object)); err != nil {
			return fmt.Errorf("deleting %T %s/%s: %w", object, namespace, object.GetName(), err)
		}
	}
	return nil
}
