package serviceexport

import (
	"context"
	"errors"
	"fmt"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/hub"
	"github.com/tombolo-net/tombolo/controllers/mcs/pack"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// publication is what the hub is to hold of one Service of this cluster.
type publication struct {
	export *v1alpha1.ExportedService // nil: nothing
	// pack returns the writes that bring the slices that the hub has to what they are to be.
	pack func(have []discoveryv1.EndpointSlice) pack.Packing
}

// nothing withdraws all.
var nothing = publication{pack: func(have []discoveryv1.EndpointSlice) pack.Packing {
	return pack.Packing{First: pack.Writes{Deletes: have}}
}}

// publish makes the hub hold just that, in the order in which others need it: the ExportedService before its slices, and
// when it goes, too. Nothing is written where nothing differs. It tells whether the hub then has the ExportedService,
// also with an error: then others of the objects may still be as they were.
func publish(ctx context.Context, view hub.View, service client.ObjectKey, want publication) (bool, error) {
	have, err := ownExport(ctx, view, service)
	if err != nil {
		return false, err
	}
	slices, err := view.OwnSlices(ctx, service.Namespace, service.Name)
	if err != nil {
		return have != nil, err
	}
	packing := want.pack(slices)
	if want.export != nil {
		want.export.Spec.SliceSet = clusterset.SliceSet(packing.After(slices))
	}
	differs := !sameExport(have, want.export)
	if !differs && packing.None() {
		return have != nil, nil
	}
	if !view.Authoritative {
		return have != nil, &hub.NotConnectedError{Status: hub.Status{Reason: v1alpha1.ReasonUnreachable, Message: "a change waits to be published"}}
	}
	exportErr := error(nil)
	if differs {
		if exportErr = putExport(ctx, view, have, want.export); exportErr != nil {
			exportErr = fmt.Errorf("publishing Service %s: %w", service, exportErr)
		}
	}
	exported := want.export != nil && (exportErr == nil || have != nil)
	if exportErr != nil && !exported {
		return have != nil, exportErr // slices without an export would be nobody's
	}
	return exported, errors.Join(exportErr, writeSlices(ctx, view, packing))
}

// ownExport returns what the hub has under the name of our export, whatever somebody made of its content; nil: nothing.
func ownExport(ctx context.Context, view hub.View, service client.ObjectKey) (*v1alpha1.ExportedService, error) {
	export := &v1alpha1.ExportedService{}
	key := client.ObjectKey{Namespace: view.Namespace, Name: clusterset.HubName(view.Cluster, service.Namespace, service.Name)}
	if err := view.Reader.Get(ctx, key, export); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, nil
		}
		return nil, fmt.Errorf("reading ExportedService %s from the hub's cache: %w", key, err)
	}
	return export, nil
}

func sameExport(have, want *v1alpha1.ExportedService) bool {
	if have == nil || want == nil {
		return have == want
	}
	return equality.Semantic.DeepEqual(have.Labels, want.Labels) && equality.Semantic.DeepEqual(have.Spec, want.Spec)
}

func putExport(ctx context.Context, view hub.View, have, want *v1alpha1.ExportedService) error {
	switch {
	case want == nil:
		return remove(ctx, view, have)
	case have == nil:
		return view.Writer.Create(ctx, want)
	}
	want.ResourceVersion = have.ResourceVersion
	return view.Writer.Update(ctx, want)
}

// writeSlices tries all writes that can be tried: one that is refused does not keep others back.
func writeSlices(ctx context.Context, view hub.View, packing pack.Packing) error {
	if err := writeAll(ctx, view, packing.First); err != nil {
		return err
	}
	return writeAll(ctx, view, packing.Then)
}

func writeAll(ctx context.Context, view hub.View, writes pack.Writes) error {
	var errs []error
	for i := range writes.Puts {
		s := &writes.Puts[i]
		write := func() error { return view.Writer.Create(ctx, s) }
		if s.ResourceVersion != "" {
			write = func() error { return view.Writer.Update(ctx, s) }
		}
		if err := write(); err != nil {
			errs = append(errs, fmt.Errorf("publishing EndpointSlice %s: %w", s.Name, err))
		}
	}
	for i := range writes.Deletes {
		if err := remove(ctx, view, &writes.Deletes[i]); err != nil {
			errs = append(errs, fmt.Errorf("withdrawing EndpointSlice %s: %w", writes.Deletes[i].Name, err))
		}
	}
	return errors.Join(errs...)
}

// remove deletes the object as it was read: one that has changed since may be wanted.
func remove(ctx context.Context, view hub.View, obj client.Object) error {
	uid, version := obj.GetUID(), obj.GetResourceVersion()
	return client.IgnoreNotFound(view.Writer.Delete(ctx, obj, client.Preconditions{UID: &uid, ResourceVersion: &version}))
}
