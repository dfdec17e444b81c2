// Package clusterprofile owns the ClusterProfiles of the Cluster Inventory API (KEP-4322): one for
// each RemoteCluster, in the operator's namespace, where the API server serves that kind. Programs
// that work on many clusters (schedulers, GitOps tools) find the clusterset's members there. It also
// owns the ClusterSet's condition ClusterProfiles. It never touches profiles of other cluster
// managers, does not install that API, and says nothing about access to the clusters.
package clusterprofile

import (
	"context"
	"errors"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/internal/optional"
	"github.com/tombolo-net/tombolo/controllers/internal/optionalkind"
	"github.com/tombolo-net/tombolo/controllers/internal/retry"
	"github.com/tombolo-net/tombolo/controllers/internal/status"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// +kubebuilder:rbac:groups=clusterset.tombolo.dev,resources=clustersets;remoteclusters,verbs=get;list;watch
// +kubebuilder:rbac:groups=clusterset.tombolo.dev,resources=clustersets/status,verbs=get;update;patch
// +kubebuilder:rbac:groups=apiextensions.k8s.io,resources=customresourcedefinitions,resourceNames=clusterprofiles.multicluster.x-k8s.io,verbs=get;list;watch
// +kubebuilder:rbac:groups=multicluster.x-k8s.io,namespace=tombolo-system,resources=clusterprofiles,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=multicluster.x-k8s.io,namespace=tombolo-system,resources=clusterprofiles/status,verbs=patch

// fieldOwner is the name under which we apply. Others may add fields under theirs, such as
// status.accessProviders.
const fieldOwner = client.FieldOwner("tombolo-clusterprofile")

// Reconciler maintains all profiles, as the RemoteClusters say.
type Reconciler struct {
	Client client.Client // required, of this cluster, cached
	// Namespace of the profiles, the operator's.
	Namespace string // required

	profiles *optionalkind.Watch // SetUp sets it
}

// Reconcile writes and deletes profiles, and writes the condition.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	set, err := optional.Get[v1alpha1.ClusterSet](ctx, r.Client, request.NamespacedName)
	if err != nil {
		return reconcile.Result{}, err
	}
	state, err := r.profiles.State(ctx)
	if err != nil {
		return reconcile.Result{}, err
	}
	switch {
	case state.Recheck > 0:
		return reconcile.Result{RequeueAfter: state.Recheck}, nil
	case state.Kind.Empty() && set == nil:
		return reconcile.Result{}, nil
	case state.Kind.Empty(): // without that API there is nothing to say
		return retry.Result(status.RemoveClusterSetCondition(ctx, r.Client, set, v1alpha1.ConditionClusterProfiles))
	}
	condition, err := r.sync(ctx, state.Kind, set)
	if err == nil && set != nil {
		err = status.SetClusterSetCondition(ctx, r.Client, set, condition)
	}
	return retry.Result(err)
}

// sync makes the profiles those of the RemoteClusters, and returns the condition. A cluster that
// belongs to no clusterset has none.
func (r *Reconciler) sync(ctx context.Context, kind schema.GroupVersionKind, set *v1alpha1.ClusterSet) (metav1.Condition, error) {
	have := &unstructured.UnstructuredList{}
	have.SetGroupVersionKind(kind)
	if err := r.profiles.Reader().List(ctx, have, client.InNamespace(r.Namespace)); err != nil {
		return metav1.Condition{}, fmt.Errorf("listing ClusterProfiles: %w", err)
	}
	remotes := &v1alpha1.RemoteClusterList{}
	if set != nil {
		if err := r.Client.List(ctx, remotes); err != nil {
			return metav1.Condition{}, fmt.Errorf("listing RemoteClusters: %w", err)
		}
	}
	byName := map[string]*unstructured.Unstructured{}
	for i := range have.Items {
		byName[have.Items[i].GetName()] = &have.Items[i]
	}
	var foreign []string
	var errs []error
	for i := range remotes.Items {
		remote := &remotes.Items[i]
		if remote.DeletionTimestamp != nil {
			continue
		}
		profile := byName[remote.Name]
		delete(byName, remote.Name)
		if profile != nil && !ours(profile) {
			foreign = append(foreign, remote.Name)
			continue
		}
		errs = append(errs, r.write(ctx, profile, wanted(kind, r.Namespace, set, remote)))
	}
	for _, left := range byName {
		errs = append(errs, r.delete(ctx, left))
	}
	return r.condition(len(remotes.Items), foreign), errors.Join(errs...)
}

// write applies the parts of the profile that differ. have is nil if the profile does not exist.
func (r *Reconciler) write(ctx context.Context, have, want *unstructured.Unstructured) error {
	name := want.GetName()
	if have == nil || !sameObject(have, want) {
		object := want.DeepCopy()
		delete(object.Object, "status")
		if err := r.Client.Apply(ctx, client.ApplyConfigurationFromUnstructured(object), fieldOwner, client.ForceOwnership); err != nil {
			return fmt.Errorf("writing ClusterProfile %s: %w", name, err)
		}
		logf.FromContext(ctx).Info("wrote a ClusterProfile", "name", name)
	}
	if have != nil && sameStatus(have, want) {
		return nil
	}
	object := want.DeepCopy()
	delete(object.Object, "spec")
	object.SetLabels(nil)
	object.SetOwnerReferences(nil)
	if err := r.Client.Status().Apply(ctx, client.ApplyConfigurationFromUnstructured(object), fieldOwner, client.ForceOwnership); err != nil {
		return fmt.Errorf("writing the status of ClusterProfile %s: %w", name, err)
	}
	return nil
}

// delete deletes a profile of ours.
func (r *Reconciler) delete(ctx context.Context, have *unstructured.Unstructured) error {
	if !ours(have) || have.GetDeletionTimestamp() != nil {
		return nil
	}
	uid := have.GetUID()
	if err := r.Client.Delete(ctx, have, client.Preconditions{UID: &uid}); err != nil {
		if client.IgnoreNotFound(err) == nil {
			return nil
		}
		return fmt.Errorf("deleting ClusterProfile %s: %w", have.GetName(), err)
	}
	logf.FromContext(ctx).Info("deleted a ClusterProfile", "name", have.GetName())
	return nil
}

func (r *Reconciler) condition(clusters int, foreign []string) metav1.Condition {
	c := metav1.Condition{
		Type: v1alpha1.ConditionClusterProfiles, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonConfigured,
		Message: fmt.Sprintf("%d ClusterProfiles in namespace %s", clusters, r.Namespace),
	}
	if len(foreign) == 0 {
		return c
	}
	slices.Sort(foreign)
	c.Status, c.Reason = metav1.ConditionFalse, v1alpha1.ReasonNotOurs
	c.Message = fmt.Sprintf("another cluster manager has ClusterProfile %s in namespace %s: delete it there, so that tombolo writes it",
		clusterset.NameSome(foreign), r.Namespace)
	return c
}
