package clusterproperty

import (
	"context"

	"k8s.io/apimachinery/pkg/runtime/schema"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/internal/optionalkind"
	"github.com/tombolo-net/tombolo/controllers/internal/requests"
	"github.com/tombolo-net/tombolo/controllers/internal/retry"
)

// SetUp adds the controller to the manager.
func (r *Reconciler) SetUp(_ context.Context, mgr ctrl.Manager) error {
	var err error
	r.properties, err = optionalkind.New(mgr, optionalkind.Kind{
		CRD:       "clusterproperties.about.k8s.io",
		GroupKind: schema.GroupKind{Group: "about.k8s.io", Kind: "ClusterProperty"},
		Versions:  []string{"v1alpha1", "v1beta1"},
	})
	if err != nil {
		return err
	}
	made, err := retry.Controller(mgr, "about", 1).
		For(&v1alpha1.ClusterSet{}).
		WatchesRawSource(r.Hub.OnChange(requests.TheClusterSet)).
		Build(r)
	r.properties.Bind(made, requests.TheClusterSet)
	return err
}
