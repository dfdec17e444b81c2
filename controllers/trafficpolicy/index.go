package trafficpolicy

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/internal/requests"
)

// indexTarget finds TrafficPolicies by the name of their target, which is in their own namespace.
const indexTarget = "spec.targetRef.name"

func byTarget(obj client.Object) []string {
	return []string{obj.(*v1alpha1.TrafficPolicy).Spec.TargetRef.Name}
}

// withTarget selects the policies for namespace/name.
func withTarget(namespace, name string) []client.ListOption {
	return []client.ListOption{client.InNamespace(namespace), client.MatchingFields{indexTarget: name}}
}

// Index makes the index that the Reconciler needs.
func Index(ctx context.Context, indexer client.FieldIndexer) error {
	return requests.Index(ctx, indexer, &v1alpha1.TrafficPolicy{}, map[string]client.IndexerFunc{indexTarget: byTarget})
}
