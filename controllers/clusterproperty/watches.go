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

// CacheObjects say what the operator's cache holds for this package: the one CRD that the operator
// may read.
func CacheObjects() map[client.Object]cache.ByObject {
	return map[client.Object]cache.ByObject{
		crdMetadata(): {Field: fields.OneTermEqualSelector("metadata.name", crdName)},
	}
}

// SetUp adds the controller to the manager, whose cache must be that of CacheObjects.
func (r *Reconciler) SetUp(_ context.Context, mgr ctrl.Manager) error {
	made, err := retry.Controller(mgr, "about", 1).
		For(&v1alpha1.ClusterSet{}).
		WatchesMetadata(crdMetadata(), handler.EnqueueRequestsFromMapFunc(requests.TheClusterSet)).
		WatchesRawSource(r.Hub.OnChange(requests.TheClusterSet)).
		Build(r)
	r.watch = watcher{controller: made, cache: mgr.GetCache()}
	return err
}
