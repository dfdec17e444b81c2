package installation

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/cluster"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
)

// CheckStart returns an error if an operator cannot run here at all: a kind is not served, or the
// operator's account has no rights, as that of a second installation has none. An API server that
// does not answer is no such reason: the operator waits for it.
func CheckStart(ctx context.Context, c cluster.Cluster) error {
	for _, k := range kinds() {
		of := schema.GroupKind{Group: k.Group, Kind: k.goType.Name()}
		if _, err := c.GetRESTMapper().RESTMapping(of, k.Version); meta.IsNoMatchError(err) {
			return fmt.Errorf("CustomResourceDefinition %s is missing or does not serve %s: %s", k.crd(), k.Version, remedy)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err := c.GetAPIReader().List(ctx, &v1alpha1.ClusterSetList{}, client.Limit(1))
	if apierrors.IsForbidden(err) {
		return fmt.Errorf("the operator has no rights: %w. Is tombolo installed in another namespace, too? "+
			"`kubectl get clusterrolebinding tombolo-operator -o wide` says where. Otherwise %s", err, remedy)
	}
	return nil
}
