package clusterproperty

import (
	"context"

	"k8s.io/apimachinery/pkg/fields"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/internal/requests"
	"github.com/tombolo-net/tombolo/controllers/internal/retry"
)

// +kubebuilder:rbac:groups=clusterset.tombolo.dev,resources=clustersets,verbs=get;list;watch
// +kubebuilder:rbac:groups=clusterset.tombolo.dev,resources=clustersets/status,verbs=get;update;patch
// +kubebuilder:rbac:groups=apiextensions.k8s.io,resources=customresourcedefinitions,resourceNames=clusterproperties.about.k8s.io,verbs=get;list;watch
// +kubebuilder:rbac:groups=about.k8s.io,resources=clusterproperties,verbs=list;watch
// +kubebuilder:rbac:groups=about.k8s.io,resources=clusterproperties,resourceNames=cluster.clusterset.k8s.io;clusterset.k8s.io,verbs=get;create;patch;delete

// CacheObjects say what the operator's cache holds for this package: the one CRD that the operator
// may read.
func CacheObjects() map[client.Object]cache.ByObject {
	return map[client.Object]cache.ByObject{
		crdMetadata(): {Field: fields.OneTermEqualSelector("metadata.name", crdName)},
	}
}

// SetUp adds the controller to the manager, whose cache must be that of CacheObjects.
func (r *Reconciler) SetUp(_ context.Context, mgr ctrl.Manager) error {
	made, err := ctrl.NewControllerManagedBy(mgr).
		Named("about").
		WithOptions(retry.Options(1)).
		For(&v1alpha1.ClusterSet{}).
		WatchesMetadata(crdMetadata(), handler.EnqueueRequestsFromMapFunc(requests.TheClusterSet)).
		WatchesRawSource(r.Hub.OnChange(requests.TheClusterSet)).
		Build(r)
	r.watch = watcher{controller: made, cache: mgr.GetCache()}
	return err
}
