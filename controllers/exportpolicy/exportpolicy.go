// Package exportpolicy owns the status of ExportPolicies: whether a policy is in effect, if not, why,
// and which clusters its export is for. It decides nothing: package internal/clusterset says which
// policy is in effect, package serviceexport tells the other clusters, and the gateways carry it out.
package exportpolicy

import (
	"context"
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/internal/optional"
	"github.com/tombolo-net/tombolo/controllers/internal/peers"
	"github.com/tombolo-net/tombolo/controllers/internal/retry"
	"github.com/tombolo-net/tombolo/controllers/internal/status"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// +kubebuilder:rbac:groups=clusterset.tombolo.dev,resources=exportpolicies,verbs=get;list;watch
// +kubebuilder:rbac:groups=clusterset.tombolo.dev,resources=exportpolicies/status,verbs=update;patch
// +kubebuilder:rbac:groups=multicluster.x-k8s.io,resources=serviceexports,verbs=get;list;watch
// +kubebuilder:rbac:groups=clusterset.tombolo.dev,resources=clustersets;remoteclusters,verbs=get;list;watch

// concurrent policies are written at a time: each waits for the API server's answer.
const concurrent = 4

// Reconciler maintains the status of each ExportPolicy.
type Reconciler struct {
	Client client.Client // required, of this cluster, cached
}

// Reconcile writes the status if it differs. A policy that is being deleted is left as it is.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	policy, err := optional.GetUndeleted[v1alpha1.ExportPolicy](ctx, r.Client, request.NamespacedName)
	if err != nil || policy == nil {
		return reconcile.Result{}, err
	}
	export, err := optional.Get[mcsv1beta1.ServiceExport](ctx, r.Client, clusterset.ExportPolicyTarget(policy))
	if err != nil {
		return reconcile.Result{}, err
	}
	rivals, err := In(ctx, r.Client, policy.Namespace)
	if err != nil {
		return reconcile.Result{}, err
	}
	around, err := r.surroundings(ctx)
	if err != nil {
		return reconcile.Result{}, err
	}
	want := policy.DeepCopy()
	accepted := clusterset.JudgeExportPolicy(policy, export, rivals)
	want.Status.Clusters = nil
	if accepted.Status == metav1.ConditionTrue {
		want.Status.Clusters = around.audience(&policy.Spec.ExportAudience)
		accepted.Message += around.remarks(&policy.Spec.ExportAudience)
	}
	status.SetConditions(policy, &want.Status.Conditions, accepted)
	want.Status.ObservedGeneration = status.Summarize(policy, &want.Status.Conditions, v1alpha1.ConditionAccepted)
	return retry.Result(status.PatchShared(ctx, r.Client, policy, want))
}

// In returns the ExportPolicies of the namespace as they are in the cache: the caller must not change
// them.
func In(ctx context.Context, reader client.Reader, namespace string) ([]*v1alpha1.ExportPolicy, error) {
	list := &v1alpha1.ExportPolicyList{}
	if err := reader.List(ctx, list, client.InNamespace(namespace), client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing ExportPolicies of namespace %s: %w", namespace, err)
	}
	found := make([]*v1alpha1.ExportPolicy, 0, len(list.Items))
	for i := range list.Items {
		found = append(found, &list.Items[i])
	}
	return found, nil
}

// surroundings are the clusters that a policy may name.
type surroundings struct {
	// own cluster and its region; empty until the hub has named it.
	own       v1alpha1.ClusterID
	ownRegion string
	remotes   []v1alpha1.RemoteCluster
}

func (r *Reconciler) surroundings(ctx context.Context) (surroundings, error) {
	set, remotes, err := peers.Read(ctx, r.Client)
	if err != nil {
		return surroundings{}, err
	}
	s := surroundings{remotes: remotes}
	if set != nil && set.Status.Index != 0 {
		s.own, s.ownRegion = set.Spec.ClusterID, set.Status.Region
	}
	return s, nil
}

// audience are the other clusters that the export is for, sorted.
func (s surroundings) audience(a *v1alpha1.ExportAudience) []string {
	var found []string
	for i := range s.remotes {
		if remote := &s.remotes[i]; clusterset.InAudience(a, v1alpha1.ClusterID(remote.Name), remote.Spec.Region) {
			found = append(found, remote.Name)
		}
	}
	slices.Sort(found)
	return found
}

// remarks are what the user should know about a policy that is in effect; empty if nothing.
func (s surroundings) remarks(a *v1alpha1.ExportAudience) string {
	if s.own == "" {
		return ""
	}
	known := map[string]bool{"cluster " + string(s.own): true, "region " + s.ownRegion: true}
	for i := range s.remotes {
		known["cluster "+s.remotes[i].Name], known["region "+s.remotes[i].Spec.Region] = true, true
	}
	var unknown []string
	for _, name := range names(a) {
		if !known[name] {
			unknown = append(unknown, name)
		}
	}
	text := ""
	if len(unknown) > 0 {
		text = fmt.Sprintf("; the policy names %s, which the clusterset does not have: correct the name, or wait until it joins",
			clusterset.NameSome(unknown))
	}
	if len(s.audience(a)) == 0 {
		text += "; no other cluster imports the Service"
	}
	return text
}

// names are the clusters and regions of the audience.
func names(a *v1alpha1.ExportAudience) []string {
	var all []string
	for _, c := range a.Clusters {
		all = append(all, "cluster "+string(c))
	}
	for _, r := range a.Regions {
		all = append(all, "region "+r)
	}
	slices.SortFunc(all, strings.Compare)
	return all
}
