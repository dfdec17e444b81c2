// Package clusterproperty owns the About API's ClusterProperty objects (KEP-2149) that hold this
// cluster's ID and its clusterset's, for as long as the cluster is a member. It also owns the
// ClusterSet's condition ClusterProperties. It never touches objects that others wrote, and it does
// not install that API.
package clusterproperty

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/hub"
	"github.com/tombolo-net/tombolo/controllers/internal/optional"
	"github.com/tombolo-net/tombolo/controllers/internal/optionalkind"
	"github.com/tombolo-net/tombolo/controllers/internal/retry"
	"github.com/tombolo-net/tombolo/controllers/internal/status"
)

// The well-known properties (KEP-2149, "ClusterProperty names").
const (
	ClusterIDName    = "cluster.clusterset.k8s.io"
	ClusterSetIDName = "clusterset.k8s.io"
)

// +kubebuilder:rbac:groups=clusterset.tombolo.dev,resources=clustersets,verbs=get;list;watch
// +kubebuilder:rbac:groups=clusterset.tombolo.dev,resources=clustersets/status,verbs=get;update;patch
// +kubebuilder:rbac:groups=apiextensions.k8s.io,resources=customresourcedefinitions,resourceNames=clusterproperties.about.k8s.io,verbs=get;list;watch
// +kubebuilder:rbac:groups=about.k8s.io,resources=clusterproperties,verbs=list;watch
// +kubebuilder:rbac:groups=about.k8s.io,resources=clusterproperties,resourceNames=cluster.clusterset.k8s.io;clusterset.k8s.io,verbs=get;create;patch;delete

// Reconciler maintains the properties as the one ClusterSet and the hub say.
type Reconciler struct {
	Client client.Client // required, of this cluster; it does not cache properties
	Hub    *hub.Hub      // required

	properties *optionalkind.Watch // SetUp sets it
}

// Reconcile writes or deletes the properties, and writes the condition.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	set, err := optional.Get[v1alpha1.ClusterSet](ctx, r.Client, request.NamespacedName)
	if err != nil {
		return reconcile.Result{}, err
	}
	state, err := r.properties.State(ctx)
	if err != nil {
		return reconcile.Result{}, err
	}
	switch {
	case state.Recheck > 0:
		return reconcile.Result{RequeueAfter: state.Recheck}, nil
	case state.Kind.Empty():
		return retry.Result(r.withoutAPI(ctx, set))
	}
	condition, err := r.apply(ctx, state.Kind, set)
	if err == nil && set != nil {
		err = status.SetClusterSetCondition(ctx, r.Client, set, condition)
	}
	return retry.Result(err)
}

// withoutAPI removes the condition: without the About API there is nothing to say.
func (r *Reconciler) withoutAPI(ctx context.Context, set *v1alpha1.ClusterSet) error {
	if set == nil {
		return nil
	}
	return status.RemoveClusterSetCondition(ctx, r.Client, set, v1alpha1.ConditionClusterProperties)
}

// apply makes the properties what they should be and returns the condition. While it is not certain
// whether this cluster is a member, they stay as they are.
func (r *Reconciler) apply(ctx context.Context, kind schema.GroupVersionKind, set *v1alpha1.ClusterSet) (metav1.Condition, error) {
	switch connection := r.Hub.Status(); {
	case set == nil:
		return metav1.Condition{}, r.deleteAll(ctx, kind)
	case connection.Reason == v1alpha1.ReasonRemoved:
		return condition(metav1.ConditionFalse, v1alpha1.ReasonRemoved,
			"this cluster is no longer a member: its ClusterProperties are deleted"), r.deleteAll(ctx, kind)
	case !connection.Connected():
		if have := meta.FindStatusCondition(set.Status.Conditions, v1alpha1.ConditionClusterProperties); have != nil {
			return *have, nil
		}
		return condition(metav1.ConditionUnknown, v1alpha1.ReasonPending,
			"ClusterProperties are written once the hub confirms that this cluster is a member"), nil
	}
	return r.writeAll(ctx, kind, map[string]string{
		ClusterIDName:    string(set.Spec.ClusterID),
		ClusterSetIDName: set.Spec.ClusterSetID,
	})
}

// writeAll writes these values, by name, into the properties.
func (r *Reconciler) writeAll(ctx context.Context, kind schema.GroupVersionKind, values map[string]string) (metav1.Condition, error) {
	var right, foreign []string
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(values)) {
		have, err := r.write(ctx, kind, name, values[name])
		switch {
		case err != nil:
			errs = append(errs, err)
		case have != values[name]:
			foreign = append(foreign, fmt.Sprintf("%s is %q and should be %q", name, have, values[name]))
		default:
			right = append(right, fmt.Sprintf("%s is %q", name, have))
		}
	}
	if len(foreign) > 0 {
		return condition(metav1.ConditionFalse, v1alpha1.ReasonNotOurs,
			"somebody else wrote ClusterProperty %s: delete it, so that tombolo writes it, or correct its value",
			strings.Join(foreign, "; ")), errors.Join(errs...)
	}
	return condition(metav1.ConditionTrue, v1alpha1.ReasonConfigured, "%s", strings.Join(right, ", ")), errors.Join(errs...)
}

// write writes the value into one property, unless somebody else owns it, and returns the value
// that the property then has.
func (r *Reconciler) write(ctx context.Context, kind schema.GroupVersionKind, name, value string) (string, error) {
	have := property(kind, name)
	err := r.Client.Get(ctx, client.ObjectKey{Name: name}, have)
	if client.IgnoreNotFound(err) != nil {
		return "", fmt.Errorf("reading ClusterProperty %s: %w", name, err)
	}
	if current := valueOf(have); err == nil && (current == value || !ours(have)) {
		return current, nil
	}
	// We apply it, because the right to create in another way cannot be limited to a name.
	options := []client.ApplyOption{client.FieldOwner(v1alpha1.ManagedBy)}
	if ours(have) {
		options = append(options, client.ForceOwnership)
	}
	want := client.ApplyConfigurationFromUnstructured(propertyFor(kind, name, value))
	if err := r.Client.Apply(ctx, want, options...); err != nil {
		return "", fmt.Errorf("writing ClusterProperty %s: %w", name, err)
	}
	logf.FromContext(ctx).Info("wrote a ClusterProperty", "name", name, "value", value)
	return value, nil
}

// deleteAll deletes the properties that are ours.
func (r *Reconciler) deleteAll(ctx context.Context, kind schema.GroupVersionKind) error {
	var errs []error
	for _, name := range []string{ClusterIDName, ClusterSetIDName} {
		have := property(kind, name)
		err := r.Client.Get(ctx, client.ObjectKey{Name: name}, have)
		if err == nil && ours(have) {
			uid := have.GetUID()
			err = r.Client.Delete(ctx, have, client.Preconditions{UID: &uid})
			if err == nil {
				logf.FromContext(ctx).Info("deleted a ClusterProperty", "name", name)
			}
		}
		if client.IgnoreNotFound(err) != nil {
			errs = append(errs, fmt.Errorf("deleting ClusterProperty %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

func condition(status metav1.ConditionStatus, reason, format string, args ...any) metav1.Condition {
	return metav1.Condition{
		Type: v1alpha1.ConditionClusterProperties, Status: status, Reason: reason, Message: fmt.Sprintf(format, args...),
	}
}
