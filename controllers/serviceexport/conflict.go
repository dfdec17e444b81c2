package serviceexport

import (
	"context"
	"fmt"
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
// unless the hub shows this cluster's own export. Where the hub no longer shows that of another
// cluster, what the import keeps for it stands for it. Then only a conflict is certain: that there is
// none is known if the other cluster has no Member.
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
	if !slices.ContainsFunc(exports.Present, ours) {
		return nil, nil
	}
	if len(exports.Held) == 0 {
		found := mcs.ConflictOf(exports.Present)
		return &found, nil
	}
	merged, _ := exports.Merge(imported)
	found := mcs.ConflictBeside(exports.Present, merged, exports.Held[0])
	if len(found.Reasons) == 0 && len(exports.NoMember) < len(exports.Held) {
		return nil, nil
	}
	if len(found.Reasons) > 0 {
		found.Message += fmt.Sprintf(" The hub does not show the export by %s; what is imported from there counts until that cluster "+
			"confirms the end, or until its Member is there with spec.removed.", clusterset.NameSome(exports.Held))
	}
	return &found, nil
}
