package serviceexport

import (
	"context"
	"errors"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/controllers/hub"
	"github.com/tombolo-net/tombolo/controllers/mcs/pack"
)

// apply writes the change in the order in which others need it: the ExportedService before its
// slices, also when both are withdrawn. It tells whether the hub then has the ExportedService. It
// does so with an error, too: then others of the objects may still be as they were.
func apply(ctx context.Context, view hub.View, c change) (exported bool, err error) {
	if c.none() {
		return c.before != nil, nil
	}
	if !view.Authoritative {
		return c.before != nil, &hub.NotConnectedError{Status: hub.Status{Reason: v1alpha1.ReasonUnreachable, Message: "a change waits to be published"}}
	}
	exportErr := applyExport(ctx, view, c)
	exported = c.after != nil && (exportErr == nil || c.before != nil)
	if exportErr != nil && !exported {
		return c.before != nil, exportErr // slices without an export would belong to nothing
	}
	return exported, errors.Join(exportErr, applySlices(ctx, view, c.slices))
}

func applyExport(ctx context.Context, view hub.View, c change) error {
	var err error
	switch {
	case !c.exportDiffers():
		return nil
	case c.after == nil:
		err = deleteAsRead(ctx, view, c.before)
	case c.before == nil:
		err = view.Writer.Create(ctx, c.after)
	default:
		c.after.ResourceVersion = c.before.ResourceVersion
		err = view.Writer.Update(ctx, c.after)
	}
	if err != nil {
		return fmt.Errorf("publishing ExportedService: %w", err)
	}
	return nil
}

// applySlices tries all writes that it may try: one that is refused does not hold the others back.
func applySlices(ctx context.Context, view hub.View, packing pack.Packing) error {
	if err := applyWrites(ctx, view, packing.First); err != nil {
		return err
	}
	return applyWrites(ctx, view, packing.Then)
}

func applyWrites(ctx context.Context, view hub.View, writes pack.Writes) error {
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
		if err := deleteAsRead(ctx, view, &writes.Deletes[i]); err != nil {
			errs = append(errs, fmt.Errorf("withdrawing EndpointSlice %s: %w", writes.Deletes[i].Name, err))
		}
	}
	return errors.Join(errs...)
}

// deleteAsRead deletes the object as it was read. If it has changed since, it may be wanted.
func deleteAsRead(ctx context.Context, view hub.View, obj client.Object) error {
	uid, version := obj.GetUID(), obj.GetResourceVersion()
	return client.IgnoreNotFound(view.Writer.Delete(ctx, obj, client.Preconditions{UID: &uid, ResourceVersion: &version}))
}
