package serviceimport

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/internal/optional"
	"github.com/tombolo-net/tombolo/controllers/mcs"
	"github.com/tombolo-net/tombolo/controllers/mcs/screen"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// screen maps an ExportedService to its Service, and notes whether it can be used. An
// ExportedService whose name does not fit what it says it exports belongs to no Service.
func (r *Reconciler) screen(ctx context.Context, obj client.Object) []reconcile.Request {
	export := obj.(*v1alpha1.ExportedService)
	var skipped []screen.Skipped
	if why := r.fault(ctx, export); why != nil {
		skipped = append(skipped, *why)
	}
	cluster := clusterset.SourceCluster(export.Labels)
	r.Skipped.Note(cluster, "ExportedService "+export.Name, skipped...)
	r.screenBudget(ctx, cluster)
	if export.Name != clusterset.HubName(cluster, export.Spec.Namespace, export.Spec.Name) {
		return nil
	}
	return ofExport(ctx, obj)
}

// fault says why the export is not used, nil if it is, or if the hub no longer has it: an event does
// not say whether it reports a deletion.
func (r *Reconciler) fault(ctx context.Context, export *v1alpha1.ExportedService) *screen.Skipped {
	cluster, spec := clusterset.SourceCluster(export.Labels), &export.Spec
	why := screen.Export(export)
	view, err := r.Hub.View()
	if err != nil {
		return nil
	}
	if why == nil {
		member, err := view.Member(ctx, cluster)
		if err != nil || member == nil {
			return nil
		}
		why = screen.Namespace(member, spec.Namespace, spec.Name, r.importsFrom(ctx, cluster, client.ObjectKey{Namespace: spec.Namespace, Name: spec.Name}))
	}
	if why == nil || view.Reader.Get(ctx, client.ObjectKeyFromObject(export), &v1alpha1.ExportedService{}) != nil {
		return nil
	}
	return why
}

// importsFrom tells whether the Service is imported from the cluster now.
func (r *Reconciler) importsFrom(ctx context.Context, cluster v1alpha1.ClusterID, service client.ObjectKey) bool {
	have, err := optional.Get[mcsv1beta1.ServiceImport](ctx, r.Client, service)
	return err == nil && have != nil && mcs.ImportsFrom(have, cluster)
}

// screenBudget notes how many of the cluster's exports are not imported because there are too many,
// and returns their names, nil if there are none.
func (r *Reconciler) screenBudget(ctx context.Context, cluster v1alpha1.ClusterID) map[string]bool {
	view, err := r.Hub.View()
	if err != nil {
		return nil
	}
	beyond, err := view.BeyondBudget(ctx, cluster)
	if err != nil {
		return nil
	}
	limits, err := view.Limits(ctx, cluster)
	if err != nil {
		return nil
	}
	var skipped []screen.Skipped
	if why := screen.Budget(cluster, len(beyond), limits); why != nil {
		skipped = append(skipped, *why)
	}
	r.Skipped.Note(cluster, "ExportedServices", skipped...)
	return beyond
}

// missedBudget tells whether an export of the cluster found no room before it was counted.
func (r *Reconciler) missedBudget(cluster v1alpha1.ClusterID) bool {
	view, err := r.Hub.View()
	return err == nil && view.MissedBudget(cluster)
}
