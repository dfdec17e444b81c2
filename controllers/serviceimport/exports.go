package serviceimport

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/hub"
	"github.com/tombolo-net/tombolo/controllers/mcs"
)

// exports are one Service's, of all clusters.
type exports struct {
	present []v1alpha1.ExportedService
	// held are clusters that this cluster imports from and that the hub no longer shows, without it being certain that
	// they stopped: the hub may have lost something.
	held []v1alpha1.ClusterID
}

func (e exports) none() bool { return len(e.present) == 0 && len(e.held) == 0 }

// clusters are all that the import counts, sorted.
func (e exports) clusters() []v1alpha1.ClusterID {
	all := slices.Clone(e.held)
	for i := range e.present {
		all = append(all, mcs.SourceCluster(e.present[i].Labels))
	}
	slices.Sort(all)
	return all
}

// exports finds the exports of the request's Service that count.
func (r *Reconciler) exports(ctx context.Context, view hub.View, request reconcile.Request, have *mcsv1beta1.ServiceImport) (exports, error) {
	var found exports
	if view.Removed {
		return found, nil
	}
	members, err := view.Members(ctx)
	if err != nil {
		return found, err
	}
	byID := map[v1alpha1.ClusterID]*v1alpha1.Member{}
	for i := range members {
		byID[v1alpha1.ClusterID(members[i].Name)] = &members[i]
	}
	for _, cluster := range candidates(members, have) {
		imported := have != nil && mcs.ImportsFrom(have, cluster)
		export, held, err := r.exportOf(ctx, view, byID[cluster], cluster, request, imported)
		switch {
		case err != nil:
			return exports{}, err
		case export != nil:
			found.present = append(found.present, *export)
		case held:
			found.held = append(found.held, cluster)
		}
	}
	return found, nil
}

// candidates are the clusters that may export: members, and those that are imported from.
func candidates(members []v1alpha1.Member, have *mcsv1beta1.ServiceImport) []v1alpha1.ClusterID {
	var ids []v1alpha1.ClusterID
	for i := range members {
		ids = append(ids, v1alpha1.ClusterID(members[i].Name))
	}
	if have != nil {
		for _, s := range have.Status.Clusters {
			ids = append(ids, v1alpha1.ClusterID(s.Cluster))
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// exportOf returns the cluster's export, or whether it is held, if it is imported now.
func (r *Reconciler) exportOf(ctx context.Context, view hub.View, member *v1alpha1.Member, cluster v1alpha1.ClusterID,
	request reconcile.Request, imported bool) (*v1alpha1.ExportedService, bool, error) {
	if member == nil { // absent, which removes nothing
		return nil, imported, nil
	}
	if member.Spec.Removed {
		return nil, false, nil
	}
	accepted, err := r.accepted(ctx, view, cluster)
	if err != nil || !accepted {
		return nil, imported, err
	}
	export, err := view.Export(ctx, cluster, request.Namespace, request.Name)
	if err != nil || export != nil {
		return export, false, err
	}
	if !imported {
		return nil, false, nil
	}
	gone, err := confirmed(ctx, view, cluster)
	return nil, !gone, err
}

// accepted tells whether the cluster's addresses are in use here: its RemoteCluster has some.
func (r *Reconciler) accepted(ctx context.Context, view hub.View, cluster v1alpha1.ClusterID) (bool, error) {
	if cluster == view.Cluster {
		return true, nil
	}
	remote := &v1alpha1.RemoteCluster{}
	if err := r.Client.Get(ctx, client.ObjectKey{Name: string(cluster)}, remote); err != nil {
		if apierrors.IsNotFound(err) {
			return false, nil
		}
		return false, fmt.Errorf("reading RemoteCluster %s: %w", cluster, err)
	}
	return len(remote.Spec.CIDRs) > 0, nil
}

// confirmed tells whether the cluster itself, by its heartbeat, says that it exports just what the hub shows of it.
func confirmed(ctx context.Context, view hub.View, cluster v1alpha1.ClusterID) (bool, error) {
	if !view.Authoritative {
		return false, nil
	}
	lease, err := view.Heartbeat(ctx, cluster)
	if err != nil || lease == nil {
		return false, err
	}
	names, err := view.ExportNames(ctx, cluster)
	return err == nil && mcs.HeartbeatConfirms(lease.Annotations, names), err
}
