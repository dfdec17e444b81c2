package serviceimport

import (
	"context"
	"fmt"
	"net/netip"

	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/controllers/internal/requests"
)

// indexIP finds ServiceImports by the addresses that they hold.
const indexIP = "spec.ips"

func byIP(obj client.Object) []string {
	var all []string
	for _, addr := range held(obj.(*mcsv1beta1.ServiceImport)) {
		all = append(all, addr.String())
	}
	return all
}

// indexCluster finds ServiceImports by the clusters that they are imported from.
const indexCluster = "status.clusters"

func byCluster(obj client.Object) []string {
	var ids []string
	for _, status := range obj.(*mcsv1beta1.ServiceImport).Status.Clusters {
		ids = append(ids, status.Cluster)
	}
	return ids
}

// Index makes the indexes that the Reconciler needs.
func Index(ctx context.Context, indexer client.FieldIndexer) error {
	return requests.Index(ctx, indexer, &mcsv1beta1.ServiceImport{}, map[string]client.IndexerFunc{indexIP: byIP, indexCluster: byCluster})
}

// holder looks up in the cache which other ServiceImport than own has the address: the one whose
// namespace/name sorts first, "" if there is none.
func (r *Reconciler) holder(ctx context.Context, own string, addr netip.Addr) (string, error) {
	list := &mcsv1beta1.ServiceImportList{}
	if err := r.Client.List(ctx, list, client.MatchingFields{indexIP: addr.String()}, client.UnsafeDisableDeepCopy); err != nil {
		return "", fmt.Errorf("looking up clusterset IP %s: %w", addr, err)
	}
	lowest := ""
	for i := range list.Items {
		key := client.ObjectKeyFromObject(&list.Items[i]).String()
		if key != own && (lowest == "" || key < lowest) {
			lowest = key
		}
	}
	return lowest, nil
}
