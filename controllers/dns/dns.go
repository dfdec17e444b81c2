// Package dns owns what CoreDNS's configuration says of clusterset.local: the Corefile in its
// ConfigMap, the right to read ServiceImports, and the ClusterSet's condition DNSReady. It restarts
// nothing: CoreDNS reads a changed Corefile by itself, and the condition is True once names resolve.
// Package corefile decides what a Corefile needs.
package dns

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/internal/optional"
	"github.com/tombolo-net/tombolo/controllers/internal/retry"
	"github.com/tombolo-net/tombolo/controllers/internal/status"
)

// recheck is how soon we ask again whether ServiceImports are served, while they are not.
const recheck = 2 * time.Second

// coreDNSVersion is the version of ServiceImports that CoreDNS reads.
const coreDNSVersion = "v1alpha1"

// +kubebuilder:rbac:groups=clusterset.tombolo.dev,resources=clustersets,verbs=get;list;watch
// +kubebuilder:rbac:groups=clusterset.tombolo.dev,resources=clustersets/status,verbs=get;update;patch
// +kubebuilder:rbac:groups="",resources=services,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=configmaps,resourceNames=coredns,verbs=get;list;watch;update
// +kubebuilder:rbac:groups=apps,resources=deployments,resourceNames=coredns,verbs=get;list;watch
// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=clusterroles,resourceNames=tombolo-coredns,verbs=bind
// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=clusterrolebindings,resourceNames=tombolo-coredns-managed,verbs=get;list;watch;update;delete
// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=clusterrolebindings,verbs=create
// +kubebuilder:rbac:groups="";events.k8s.io,resources=events,verbs=create;patch

// Reconciler maintains CoreDNS's configuration as the one ClusterSet says.
type Reconciler struct {
	Client client.Client        // required, of this cluster, cached
	Events events.EventRecorder // required
	// Ask asks a DNS server for a name, as the function Ask does. Without it the condition follows from
	// the configuration alone.
	Ask func(ctx context.Context, server, name string) error // optional, default nobody is asked

	// missed is how often in a row the zone did not resolve.
	missed int
}

// Reconcile adds clusterset.local to CoreDNS's configuration, or removes it, and writes the
// condition.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	set, err := optional.Get[v1alpha1.ClusterSet](ctx, r.Client, request.NamespacedName)
	if err != nil {
		return reconcile.Result{}, err
	}
	found, err := r.read(ctx)
	if err != nil {
		return reconcile.Result{}, err
	}
	if set == nil {
		return r.restore(ctx, found)
	}
	condition, err := r.configure(ctx, set, found)
	if err != nil {
		return retry.Result(err)
	}
	condition, again := r.asked(ctx, set, condition)
	if condition.Reason == v1alpha1.ReasonCRDsMissing {
		again = recheck
	}
	if err := status.SetClusterSetCondition(ctx, r.Client, set, condition); err != nil {
		return retry.Result(err)
	}
	return reconcile.Result{RequeueAfter: again}, nil
}

// restore removes everything that we added: this cluster has left the clusterset.
func (r *Reconciler) restore(ctx context.Context, found coreDNS) (reconcile.Result, error) {
	left, err := r.undo(ctx, nil, found)
	if err == nil {
		r.tellLeft(left)
	}
	if refused := refusal(err); refused != nil {
		logf.FromContext(ctx).Error(refused, "cannot remove clusterset.local from the Corefile")
		return reconcile.Result{}, nil // a change of the ConfigMap brings us back
	}
	return retry.Result(err)
}

// configure does what spec.dns says and returns the condition DNSReady.
func (r *Reconciler) configure(ctx context.Context, set *v1alpha1.ClusterSet, found coreDNS) (condition metav1.Condition, err error) {
	if set.Spec.DNS == v1alpha1.DNSManaged {
		condition, err = r.manage(ctx, set, found)
	} else if found, err = r.undo(ctx, set, found); err == nil {
		condition, err = byHand(found)
	}
	if refused := refusal(err); refused != nil {
		return notUnderstood(refused), nil
	}
	return condition, err
}

// manage makes CoreDNS serve the zone. Its rights come first: without them CoreDNS does not become
// ready with the zone.
func (r *Reconciler) manage(ctx context.Context, set *v1alpha1.ClusterSet, found coreDNS) (metav1.Condition, error) {
	if what := found.missing(); what != "" {
		return notFound(what, metav1.ConditionFalse), nil
	}
	if found.tooOld() { // it would refuse to start with what we may have added for a newer version
		left, err := r.undo(ctx, set, found)
		return saying(tooOld(found.image()), left.left()), err
	}
	if served, err := r.served(); err != nil || !served {
		return notServed(), err
	}
	config, err := found.with()
	if err != nil {
		return metav1.Condition{}, err
	}
	if err := r.bind(ctx, found.account()); err != nil {
		return metav1.Condition{}, err
	}
	if config != nil {
		if err := r.write(ctx, set, config, "CorefileChanged", "added clusterset.local to the Corefile"); err != nil {
			return metav1.Condition{}, err
		}
		found.config = config
	}
	return configured(found)
}

// byHand returns the condition for a Corefile that the cluster's admin edits.
func byHand(found coreDNS) (metav1.Condition, error) {
	switch {
	case found.missing() != "":
		return notFound(found.missing(), metav1.ConditionUnknown), nil
	case found.tooOld():
		return saying(tooOld(found.image()), found.left()), nil
	}
	condition, err := manual(found)
	return saying(condition, found.left()), err
}

// undo removes what manage added, the part in the Corefile first, and returns what is there then.
// CoreDNS keeps its rights for as long as the Corefile needs them. set is nil if there is no
// ClusterSet.
func (r *Reconciler) undo(ctx context.Context, set *v1alpha1.ClusterSet, found coreDNS) (coreDNS, error) {
	if found.config != nil {
		config, err := found.without()
		if err != nil {
			return found, err
		}
		if config != nil {
			if err := r.write(ctx, set, config, "CorefileRestored", "removed clusterset.local from the Corefile"); err != nil {
				return found, err
			}
			found.config = config
		}
	}
	return found, r.entitle(ctx, found)
}

// write updates CoreDNS's ConfigMap, unless it has changed since it was read.
func (r *Reconciler) write(ctx context.Context, set *v1alpha1.ClusterSet, config *corev1.ConfigMap, reason, what string) error {
	if err := r.Client.Update(ctx, config); err != nil {
		return fmt.Errorf("updating ConfigMap %s/%s: %w", Namespace, Name, err)
	}
	logf.FromContext(ctx).Info(what, "configMap", Namespace+"/"+Name)
	if set != nil {
		r.Events.Eventf(set, nil, corev1.EventTypeNormal, reason, "ConfigureDNS", "%s of CoreDNS (ConfigMap %s/%s)", what, Namespace, Name)
	}
	return nil
}

// served tells whether the API server serves the ServiceImports that CoreDNS reads.
func (r *Reconciler) served() (bool, error) {
	_, err := r.Client.RESTMapper().RESTMapping(mcsv1beta1.SchemeGroupVersion.WithKind("ServiceImport").GroupKind(), coreDNSVersion)
	if meta.IsNoMatchError(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("asking whether ServiceImports are served: %w", err)
	}
	return true, nil
}
