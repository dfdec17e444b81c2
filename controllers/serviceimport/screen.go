package serviceimport

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/mcs/screen"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// screen maps an ExportedService to its Service, and notes whether it can be used. An
// ExportedService whose name does not fit what it says it exports belongs to no Service.
func (r *Reconciler) screen(ctx context.Context, obj client.Object) []reconcile.Request {
	export := obj.(*v1alpha1.ExportedService)
	var skipped []screen.Skipped
	if why := screen.Export(export); why != nil && r.onHub(ctx, export) {
		skipped = append(skipped, *why)
	}
	cluster := clusterset.SourceCluster(export.Labels)
	r.Skipped.Note(cluster, "ExportedService "+export.Name, skipped...)
	if export.Name != clusterset.HubName(cluster, export.Spec.Namespace, export.Spec.Name) {
		return nil
	}
	return ofExport(ctx, obj)
}

// onHub tells whether the hub has the object: an event does not say whether it reports a deletion.
func (r *Reconciler) onHub(ctx context.Context, obj client.Object) bool {
	view, err := r.Hub.View()
	return err == nil && view.Reader.Get(ctx, client.ObjectKeyFromObject(obj), &v1alpha1.ExportedService{}) == nil
}
