package serviceimport

import (
	"context"
	"fmt"
	"net/netip"

	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/hub"
	"github.com/tombolo-net/tombolo/controllers/mcs"
	"github.com/tombolo-net/tombolo/controllers/mcs/screen"
)

// payer is the cluster for which the clusterset IPs of an import count: the one whose export is the
// oldest (clusterset.VIPRoom).
type payer struct {
	cluster v1alpha1.ClusterID
	// members of the clusterset, for all of which addresses are kept.
	members func() []v1alpha1.ClusterID
}

// payers are the addresses that are assigned, and for which cluster each counts.
type payers map[netip.Addr]v1alpha1.ClusterID

// held is how many addresses of the block each cluster has.
func (p payers) held(block netip.Prefix) map[v1alpha1.ClusterID]uint64 {
	counts := map[v1alpha1.ClusterID]uint64{}
	for addr, cluster := range p {
		if block.Contains(addr) {
			counts[cluster]++
		}
	}
	return counts
}

// membersOf are the clusters that a hub knows, without those that were removed. An error counts as
// none: then the whole half of a block is kept.
func membersOf(ctx context.Context, view hub.View) []v1alpha1.ClusterID {
	members, err := view.Members(ctx)
	if err != nil {
		return nil
	}
	var ids []v1alpha1.ClusterID
	for i := range members {
		if !members[i].Spec.Removed {
			ids = append(ids, v1alpha1.ClusterID(members[i].Name))
		}
	}
	return ids
}

// paid are the addresses of this cluster's imports, and for which cluster each counts, as far as the
// imports say.
func (r *Reconciler) paid(ctx context.Context) (map[netip.Addr]v1alpha1.ClusterID, error) {
	list := &mcsv1beta1.ServiceImportList{}
	if err := r.Client.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing ServiceImports: %w", err)
	}
	all := map[netip.Addr]v1alpha1.ClusterID{}
	for i := range list.Items {
		cluster := mcs.OldestOf(&list.Items[i])
		for _, addr := range held(&list.Items[i]) {
			if cluster != "" {
				all[addr] = cluster
			}
		}
	}
	return all, nil
}

// noteSpent notes that the import lacks clusterset IPs because its cluster has taken its share.
func (r *Reconciler) noteSpent(service string, cluster v1alpha1.ClusterID, spent []netip.Prefix) {
	before := r.decisions.spent(service, cluster, len(spent) > 0)
	if before != "" && (before != cluster || len(spent) == 0) {
		r.Skipped.Note(before, "ServiceImport "+service)
	}
	if len(spent) > 0 {
		r.Skipped.Note(cluster, "ServiceImport "+service, screen.VIPShare(cluster, service, spent))
	}
}
