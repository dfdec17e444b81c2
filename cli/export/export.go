// Package export is `kubectl tombolo export` and `kubectl tombolo unexport`.
package export

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/cli/access"
	"github.com/tombolo-net/tombolo/cli/apply"
	"github.com/tombolo-net/tombolo/cli/report"
)

type options struct {
	access *access.Flags
	genericiooptions.IOStreams
	apply   apply.Options
	to      []string
	timeout time.Duration
}

// NewCommand returns the command export.
func NewCommand(flags *access.Flags, streams genericiooptions.IOStreams) *cobra.Command {
	o := &options{access: flags, IOStreams: streams}
	c := &cobra.Command{
		Use:   "export SERVICE",
		Short: "Export a Service to the other clusters, and wait until it is exported",
		Long: `Creates a ServiceExport for a Service of the current cluster, and waits until it is exported or says why it is not. With --to only
the named clusters import it: an ExportPolicy of the same name says so, and is made first.`,
		Example: `  kubectl tombolo export web -n shop
  kubectl tombolo export web -n shop --to west,north`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return o.export(cmd.Context(), args[0]) },
	}
	c.Flags().StringSliceVar(&o.to, "to", nil, "cluster IDs of the members that the export is for; without it, it is for all")
	c.Flags().DurationVar(&o.timeout, "timeout", time.Minute, "how long to wait")
	o.apply.Bind(c)
	return c
}

// NewUnexportCommand returns the command unexport.
func NewUnexportCommand(flags *access.Flags, streams genericiooptions.IOStreams) *cobra.Command {
	o := &options{access: flags, IOStreams: streams}
	c := &cobra.Command{
		Use:   "unexport SERVICE",
		Short: "End the export of a Service, and wait until the cluster has ended it",
		Long: `Deletes the ServiceExport of a Service of the current cluster, and the ExportPolicy of the same name if there is one. Other clusters
delete what they imported from this cluster within seconds.`,
		Example: `  kubectl tombolo unexport web -n shop`,
		Args:    cobra.ExactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return o.unexport(cmd.Context(), args[0]) },
	}
	c.Flags().DurationVar(&o.timeout, "timeout", time.Minute, "how long to wait")
	return c
}

// objects are the ServiceExport, and before it the policy that limits it.
func (o *options) objects(namespace, name string) []client.Object {
	var all []client.Object
	if len(o.to) > 0 {
		policy := &v1alpha1.ExportPolicy{TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "ExportPolicy"},
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
		policy.Spec.TargetRef.Name = name
		for _, c := range o.to {
			policy.Spec.Clusters = append(policy.Spec.Clusters, v1alpha1.ClusterID(c))
		}
		all = append(all, policy)
	}
	return append(all, &mcsv1beta1.ServiceExport{TypeMeta: metav1.TypeMeta{APIVersion: mcsv1beta1.GroupVersion.String(), Kind: "ServiceExport"},
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}})
}

func (o *options) export(ctx context.Context, name string) error {
	if err := o.apply.Validate(); err != nil {
		return err
	}
	namespace, _, err := o.access.Namespace()
	if err != nil {
		return err
	}
	objects := o.objects(namespace, name)
	if o.apply.DryRun() {
		return o.apply.Print(o.Out, objects...)
	}
	cluster, err := o.access.Cluster()
	if err != nil {
		return err
	}
	err = cluster.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, &corev1.Service{})
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("there is no Service %s in namespace %s: --namespace names another one", name, namespace)
	}
	if err != nil {
		return fmt.Errorf("reading Service %s/%s: %w", namespace, name, err)
	}
	steps := report.NewSteps(o.ErrOut)
	err = steps.Do(ctx, fmt.Sprintf("exported Service %s/%s", namespace, name), func(ctx context.Context, say func(string)) error {
		if err := apply.Objects(ctx, cluster, objects...); err != nil {
			return err
		}
		return o.wait(ctx, cluster, objects[len(objects)-1], say)
	})
	if err != nil {
		return err
	}
	steps.Say("\nPods of the clusterset reach it as %s.%s.svc.clusterset.local", name, namespace)
	return nil
}

// wait returns when the ServiceExport is ready, or with what its conditions say is wrong.
func (o *options) wait(ctx context.Context, cluster client.Client, object client.Object, say func(string)) error {
	export, last := &mcsv1beta1.ServiceExport{}, "the operator has not said anything: is it running? kubectl tombolo status shows it"
	err := wait.PollUntilContextTimeout(ctx, 200*time.Millisecond, o.timeout, true, func(ctx context.Context) (bool, error) {
		if err := cluster.Get(ctx, client.ObjectKeyFromObject(object), export); err != nil {
			return false, fmt.Errorf("reading ServiceExport %s: %w", object.GetName(), err)
		}
		for _, condition := range []mcsv1beta1.ServiceExportConditionType{mcsv1beta1.ServiceExportConditionValid, mcsv1beta1.ServiceExportConditionReady} {
			c := meta.FindStatusCondition(export.Status.Conditions, string(condition))
			if c == nil {
				return false, nil
			}
			if c.Status != metav1.ConditionTrue {
				last = c.Message
				say(last)
				return false, nil
			}
		}
		return true, nil
	})
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("not exported after %s: %s", o.timeout, last)
	}
	if err != nil {
		return err
	}
	if c := meta.FindStatusCondition(export.Status.Conditions, string(mcsv1beta1.ServiceExportConditionConflict)); c != nil && c.Status == metav1.ConditionTrue {
		fmt.Fprintf(o.ErrOut, "%s it differs from the export of another cluster: %s\n", report.NewPainter(o.ErrOut).Paint(report.Warn), c.Message)
	}
	return nil
}

func (o *options) unexport(ctx context.Context, name string) error {
	namespace, _, err := o.access.Namespace()
	if err != nil {
		return err
	}
	cluster, err := o.access.Cluster()
	if err != nil {
		return err
	}
	meta := metav1.ObjectMeta{Namespace: namespace, Name: name}
	export := &mcsv1beta1.ServiceExport{ObjectMeta: meta}
	return report.NewSteps(o.ErrOut).Do(ctx, fmt.Sprintf("ended the export of Service %s/%s", namespace, name), func(ctx context.Context, _ func(string)) error {
		err := cluster.Delete(ctx, export)
		if apierrors.IsNotFound(err) {
			return fmt.Errorf("there is no ServiceExport %s in namespace %s: --namespace names another one", name, namespace)
		}
		if err != nil {
			return fmt.Errorf("deleting ServiceExport %s/%s: %w", namespace, name, err)
		}
		err = wait.PollUntilContextTimeout(ctx, 200*time.Millisecond, o.timeout, true, func(ctx context.Context) (bool, error) {
			err := cluster.Get(ctx, client.ObjectKeyFromObject(export), export)
			return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
		})
		if err != nil {
			return fmt.Errorf("waiting until ServiceExport %s/%s is gone: %w", namespace, name, err)
		}
		// The policy goes last: without it, the export would be for all clusters for a moment.
		return client.IgnoreNotFound(cluster.Delete(ctx, &v1alpha1.ExportPolicy{ObjectMeta: meta}))
	})
}
