package serviceexport

import (
	"context"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	mcsv1beta1 "sigs.k8s.io/mcs-api/pkg/apis/v1beta1"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/hub"
	"github.com/tombolo-net/tombolo/controllers/internal/exporters"
	"github.com/tombolo-net/tombolo/controllers/mcs"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// verdict is what is known of conflicts with other clusters' exports.
type verdict struct {
	// known: the hub shows all exports, this cluster's own among them. Otherwise what was known stays.
	known bool
	mcs.Conflict
}

// conflict compares the exports of the Service that count here. A part of the truth is none: it would end a conflict
// that is still there.
func (r *Reconciler) conflict(ctx context.Context, view hub.View, service client.ObjectKey, exported bool) (verdict, error) {
	if !exported || !view.Authoritative {
		return verdict{}, nil
	}
	imported, err := r.serviceImport(ctx, service)
	if err != nil {
		return verdict{}, err
	}
	exports, err := exporters.Of(ctx, r.Client, view, service, imported)
	if err != nil {
		return verdict{}, err
	}
	ours := func(e v1alpha1.ExportedService) bool { return clusterset.SourceCluster(e.Labels) == view.Cluster }
	if len(exports.Held) > 0 || !slices.ContainsFunc(exports.Present, ours) {
		return verdict{}, nil
	}
	return verdict{known: true, Conflict: mcs.ConflictOf(exports.Present)}, nil
}

// serviceImport returns this cluster's, nil if there is none.
func (r *Reconciler) serviceImport(ctx context.Context, key client.ObjectKey) (*mcsv1beta1.ServiceImport, error) {
	found := &mcsv1beta1.ServiceImport{}
	if err := r.Client.Get(ctx, key, found); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, nil
		}
		return nil, fmt.Errorf("reading ServiceImport %s: %w", key, err)
	}
	return found, nil
}
