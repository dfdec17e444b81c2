package endpointslice

import (
	"context"

	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/internal/requests"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// Indexes of the imported slices in the cache of this cluster.
const (
	indexService = "service" // by namespace/name
	indexCluster = "cluster" // by source cluster
	indexExport  = "export"  // by exportKey
)

// Index makes the indexes that the Reconciler needs.
func Index(ctx context.Context, indexer client.FieldIndexer) error {
	return requests.Index(ctx, indexer, &discoveryv1.EndpointSlice{}, map[string]client.IndexerFunc{
		indexService: ifOurs(byService), indexCluster: ifOurs(byCluster), indexExport: ifOurs(byExport),
	})
}

// ifOurs indexes imported slices only.
func ifOurs(value func(client.Object) string) client.IndexerFunc {
	return func(obj client.Object) []string {
		if !ours(obj) {
			return nil
		}
		return []string{value(obj)}
	}
}

func byService(obj client.Object) string {
	return obj.GetNamespace() + "/" + obj.GetLabels()[v1alpha1.LabelServiceName]
}

func byCluster(obj client.Object) string { return string(clusterset.SourceCluster(obj.GetLabels())) }

func byExport(obj client.Object) string {
	return exportKey(clusterset.SourceCluster(obj.GetLabels()), obj.GetNamespace(), obj.GetLabels()[v1alpha1.LabelServiceName])
}

func exportKey(cluster v1alpha1.ClusterID, namespace, name string) string {
	return string(cluster) + "/" + namespace + "/" + name
}
