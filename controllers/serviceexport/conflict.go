package serviceexport

import (
	"context"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/hub"
	"github.com/tombolo-net/tombolo/controllers/internal/exporters"
	"github.com/tombolo-net/tombolo/controllers/internal/optional"
	"github.com/tombolo-net/tombolo/controllers/mcs"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// conflict compares the exports of the Service that count here. It returns nil, which is unknown,
// unless the hub shows all exports, this cluster's own among them. A comparison of some would end a
// conflict that is still there.
func (r *Reconciler) conflict(ctx context.Context, view hub.View, service client.ObjectKey) (*mcs.Conflict, error) {
	if !view.Authoritative {
		return nil, nil
	}
	imported, err := optional.Get[mcsv1beta1.ServiceImport](ctx, r.Client, service)
	if err != nil {
		return nil, err
	}
	exports, err := exporters.Of(ctx, r.Client, view, service, imported)
	if err != nil {
		return nil, err
	}
	ours := func(e v1alpha1.ExportedService) bool { return clusterset.SourceCluster(e.Labels) == view.Cluster }
	if len(exports.Held) > 0 || !slices.ContainsFunc(exports.Present, ours) {
		return nil, nil
	}
	found := mcs.ConflictOf(exports.Present)
	return &found, nil
}
