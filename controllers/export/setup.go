package export

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/mcs"
	"github.com/tombolo-net/tombolo/controllers/retry"
)

// +kubebuilder:rbac:groups=multicluster.x-k8s.io,resources=serviceexports,verbs=get;list;watch
// +kubebuilder:rbac:groups=multicluster.x-k8s.io,resources=serviceexports/status,verbs=get;update;patch
// +kubebuilder:rbac:groups="",resources=services,verbs=get;list;watch
// +kubebuilder:rbac:groups=discovery.k8s.io,resources=endpointslices,verbs=get;list;watch

// concurrent reconciles: each waits for the hub's answer.
const concurrent = 8

// SetUp adds the controller to the manager.
func (r *Reconciler) SetUp(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("export").
		WithOptions(retry.Options(concurrent)).
		For(&mcsv1beta1.ServiceExport{}).
		Watches(&corev1.Service{}, &handler.EnqueueRequestForObject{}).
		Watches(&discoveryv1.EndpointSlice{}, handler.EnqueueRequestsFromMapFunc(serviceOf)).
		WatchesRawSource(r.Hub.OnChange(r.allExports)).
		WatchesRawSource(r.Hub.Watch(&v1alpha1.Member{}, r.allIfOurMember, predicate.GenerationChangedPredicate{})).
		WatchesRawSource(r.Hub.Watch(&v1alpha1.ExportedService{}, r.ifOurs)).
		WatchesRawSource(r.Hub.Watch(&discoveryv1.EndpointSlice{}, r.ifOurs)).
		Complete(r)
}

// serviceOf maps a local EndpointSlice to its Service. Slices that we imported belong to none.
func serviceOf(_ context.Context, obj client.Object) []reconcile.Request {
	name := obj.GetLabels()[discoveryv1.LabelServiceName]
	if name == "" {
		return nil
	}
	return []reconcile.Request{request(obj.GetNamespace(), name)}
}

// ifOurs maps what this cluster has on the hub to the Service that it is of.
func (r *Reconciler) ifOurs(_ context.Context, obj client.Object) []reconcile.Request {
	view, err := r.Hub.View()
	if err != nil || mcs.SourceCluster(obj.GetLabels()) != view.Cluster {
		return nil
	}
	switch o := obj.(type) {
	case *v1alpha1.ExportedService:
		return []reconcile.Request{request(o.Spec.Namespace, o.Spec.Name)}
	default:
		l := obj.GetLabels()
		return []reconcile.Request{request(l[v1alpha1.LabelNamespace], l[v1alpha1.LabelServiceName])}
	}
}

func (r *Reconciler) allIfOurMember(ctx context.Context, obj client.Object) []reconcile.Request {
	view, err := r.Hub.View()
	if err != nil || obj.GetName() != string(view.Cluster) {
		return nil
	}
	return r.allExports(ctx)
}

func (r *Reconciler) allExports(ctx context.Context) []reconcile.Request {
	exports := &mcsv1beta1.ServiceExportList{}
	if err := r.Client.List(ctx, exports); err != nil {
		logf.FromContext(ctx).Error(err, "cannot list ServiceExports")
		return nil
	}
	requests := make([]reconcile.Request, 0, len(exports.Items))
	for i := range exports.Items {
		requests = append(requests, request(exports.Items[i].Namespace, exports.Items[i].Name))
	}
	return requests
}

func request(namespace, name string) reconcile.Request {
	return reconcile.Request{NamespacedName: client.ObjectKey{Namespace: namespace, Name: name}}
}
