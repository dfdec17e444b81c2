package join

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/cli/access"
	"github.com/tombolo-net/tombolo/cli/report"
	"github.com/tombolo-net/tombolo/cli/snapshot"
	"github.com/tombolo-net/tombolo/internal/install"
	"github.com/tombolo-net/tombolo/internal/topology"
)

// managedDNS is what the operator removes last of what it made for CoreDNS.
const managedDNS = "tombolo-coredns-managed"

type leaveOptions struct {
	access *access.Flags
	genericiooptions.IOStreams
	yes     bool
	timeout time.Duration
}

// NewLeaveCommand returns the command.
func NewLeaveCommand(flags *access.Flags, streams genericiooptions.IOStreams) *cobra.Command {
	o := &leaveOptions{access: flags, IOStreams: streams}
	c := &cobra.Command{
		Use:   "leave",
		Short: "Leave the clusterset and remove tombolo from the current cluster",
		Long: `Undoes join: deletes the ClusterSet, lets CoreDNS forget clusterset.local, removes tunnels, routes and rules from every node,
and deletes tombolo with its kinds. All ServiceExports and ServiceImports of the cluster go with their kinds.

The other members keep what they imported until the hub's admin runs kubectl tombolo member remove. It may be repeated.`,
		Example: `  kubectl tombolo leave
  kubectl tombolo leave --context east --yes`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) },
	}
	c.Flags().BoolVarP(&o.yes, "yes", "y", false, "do not ask")
	c.Flags().DurationVar(&o.timeout, "timeout", 3*time.Minute, "how long each step may take")
	return c
}

func (o *leaveOptions) run(ctx context.Context) error {
	cluster, err := o.access.Cluster()
	if err != nil {
		return err
	}
	s := snapshot.Read(ctx, cluster, cluster.Context)
	if s.Unreadable != "" {
		return errors.New(s.Unreadable)
	}
	if err := o.confirm(&s); err != nil {
		return err
	}
	namespace, err := snapshot.Namespace(ctx, cluster)
	if err != nil {
		return err
	}
	manifests, err := install.MemberManifests(install.MemberConfig{Namespace: namespace})
	if err != nil {
		return err
	}
	steps := report.NewSteps(o.ErrOut)
	for _, step := range []struct {
		what string
		do   func(ctx context.Context, say func(string)) error
	}{
		{"left the clusterset", func(ctx context.Context, _ func(string)) error { return o.deleteClusterSet(ctx, cluster) }},
		{"removed tunnels, routes and rules from the nodes", func(ctx context.Context, say func(string)) error {
			return cleanNodes(ctx, cluster, namespace, say)
		}},
		{"deleted tombolo and its kinds", func(ctx context.Context, say func(string)) error {
			return deleteAll(ctx, cluster, manifests, say)
		}},
		{"removed labels and conditions from the nodes", func(ctx context.Context, _ func(string)) error {
			return unmark(ctx, cluster)
		}},
	} {
		within, stop := context.WithTimeout(ctx, o.timeout)
		err := steps.Do(within, step.what, step.do)
		stop()
		if err != nil {
			return err
		}
	}
	if s.ClusterSet != nil {
		steps.Say("\nThe other members keep what they imported until the hub's admin runs:\n  kubectl tombolo member remove %s --purge", s.ClusterSet.Spec.ClusterID)
	}
	return nil
}

// deleteAll deletes the objects, the last one first, and waits until they are gone.
func deleteAll(ctx context.Context, cluster client.Client, objects []*unstructured.Unstructured, say func(string)) error {
	for i := len(objects) - 1; i >= 0; i-- {
		say(fmt.Sprintf("%d to go", i+1))
		if err := cluster.Delete(ctx, objects[i]); err != nil && !absent(err) {
			return fmt.Errorf("deleting %s %s: %w", objects[i].GetKind(), objects[i].GetName(), err)
		}
	}
	for _, o := range objects {
		say(fmt.Sprintf("waiting for the end of %s %s", o.GetKind(), o.GetName()))
		err := wait.PollUntilContextCancel(ctx, 500*time.Millisecond, true, func(ctx context.Context) (bool, error) {
			err := cluster.Get(ctx, client.ObjectKeyFromObject(o), o)
			if absent(err) {
				return true, nil
			}
			return false, err
		})
		if err != nil {
			return fmt.Errorf("waiting until %s %s is gone: %w; kubectl get says what holds it", o.GetKind(), o.GetName(), err)
		}
	}
	return nil
}

// unmark removes from the nodes what says that they are gateways, or serve.
func unmark(ctx context.Context, cluster client.Client) error {
	var nodes corev1.NodeList
	if err := cluster.List(ctx, &nodes); err != nil {
		return fmt.Errorf("reading the nodes: %w", err)
	}
	labels := client.RawPatch(types.MergePatchType, []byte(fmt.Sprintf(`{"metadata":{"labels":{%q:null}}}`, v1alpha1.LabelGateway)))
	conditions := client.RawPatch(types.StrategicMergePatchType,
		[]byte(fmt.Sprintf(`{"status":{"conditions":[{"type":%q,"$patch":"delete"}]}}`, v1alpha1.NodeConditionDataplane)))
	for i := range nodes.Items {
		node := &nodes.Items[i]
		if err := cluster.Patch(ctx, node, labels); err != nil {
			return fmt.Errorf("removing label %s from node %s: %w", v1alpha1.LabelGateway, node.Name, err)
		}
		if err := cluster.Status().Patch(ctx, node, conditions); err != nil {
			return fmt.Errorf("removing condition %s from node %s: %w", v1alpha1.NodeConditionDataplane, node.Name, err)
		}
	}
	return nil
}

// confirm asks, unless the user said yes already.
func (o *leaveOptions) confirm(s *topology.Snapshot) error {
	if o.yes {
		return nil
	}
	id := v1alpha1.ClusterID(s.Context)
	if s.ClusterSet != nil {
		id = s.ClusterSet.Spec.ClusterID
	}
	fmt.Fprintf(o.ErrOut, "Cluster %s leaves the clusterset. Its %d ServiceExports and %d ServiceImports are deleted.\nType the cluster's name to go on: ",
		id, len(s.Exports), len(s.Imports))
	answer, err := bufio.NewReader(o.In).ReadString('\n')
	if strings.TrimSpace(answer) != string(id) {
		return errors.Join(fmt.Errorf("nothing was changed: the answer was not %q", id), ignoreEOF(err))
	}
	return nil
}

func ignoreEOF(err error) error {
	if err == nil || err.Error() == "EOF" {
		return nil
	}
	return err
}

// deleteClusterSet deletes the ClusterSet and waits until the operator has removed what it made for
// CoreDNS.
func (o *leaveOptions) deleteClusterSet(ctx context.Context, cluster client.Client) error {
	set := &v1alpha1.ClusterSet{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.ClusterSetName}}
	if err := cluster.Delete(ctx, set); err != nil && !absent(err) {
		return fmt.Errorf("deleting the ClusterSet: %w", err)
	}
	binding := &rbacv1.ClusterRoleBinding{}
	err := wait.PollUntilContextCancel(ctx, 500*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		err := cluster.Get(ctx, client.ObjectKey{Name: managedDNS}, binding)
		if absent(err) {
			return true, nil
		}
		return false, err
	})
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("the operator did not remove its lines from CoreDNS's configuration in %s: ClusterRoleBinding %s is still there. "+
			"See the operator's log, remove the lines by hand (docs/dns.md), and repeat", o.timeout, managedDNS)
	}
	if err != nil {
		return fmt.Errorf("waiting until ClusterRoleBinding %s is gone: %w", managedDNS, err)
	}
	return nil
}

// cleanNodes lets each agent remove from its node what it made there.
func cleanNodes(ctx context.Context, cluster *access.Cluster, namespace string, say func(string)) error {
	var errs []error
	for _, agent := range []string{"gateway", "dataplane"} {
		var pods corev1.PodList
		err := cluster.List(ctx, &pods, client.InNamespace(namespace), client.MatchingLabels{"app.kubernetes.io/name": "tombolo-" + agent})
		if err != nil {
			return fmt.Errorf("reading the pods of the %s: %w", agent, err)
		}
		for i := range pods.Items {
			pod := &pods.Items[i]
			say(pod.Spec.NodeName)
			if _, err := cluster.Exec(ctx, pod, nil, "/tombolo", agent, "--cleanup"); err != nil {
				errs = append(errs, fmt.Errorf("cleaning node %s: %w", pod.Spec.NodeName, err))
			}
		}
	}
	return errors.Join(errs...)
}
