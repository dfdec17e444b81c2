package agent

import (
	"context"
	"sync"
	"time"

	"github.com/go-logr/logr"

	"github.com/tombolo-net/tombolo/gateway/plan"
	"github.com/tombolo-net/tombolo/internal/kernel/route"
)

// routeWriter writes the gateway's routes. A pass compares them with the kernel. Between two
// passes, a link that changes its state moves the routes by what the last write left: the routes
// are planned from the tunnels that are there, and nothing is read. It is safe for concurrent use.
type routeWriter struct {
	kernel routes

	// mu guards what follows, and is held while routes are written.
	mu sync.Mutex
	// tunnels that the routes lead over; nil if there are none.
	tunnels *plan.Tunnels
	// written is what the kernel has after the last write; nil if that is not known.
	written *route.Config
	// writes counts writes.
	writes int
}

// sync makes the kernel's routes match the tunnels as the view shows them. The view is taken when
// nobody else can write any more, so that an older one never replaces a newer one. It also returns
// what had to be done because the kernel no longer had what the last write left.
func (w *routeWriter) sync(ctx context.Context, tunnels *plan.Tunnels, view func(plan.Tunnels) plan.View) (change, mended route.Change, err error) {
	have, writes, err := w.read(ctx)
	if err != nil {
		return change, mended, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.writes != writes { // what was read is out of date
		if have, err = w.kernel.Read(ctx); err != nil {
			return change, mended, err
		}
	}
	if w.written != nil {
		mended = route.Diff(have, *w.written)
	}
	w.tunnels = tunnels
	change, err = w.write(ctx, have, view)
	return change, mended, err
}

// forget says that the kernel may have removed routes by itself, with their device.
func (w *routeWriter) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.written = nil
}

// read reads the kernel's routes without keeping others from writing. It also returns how many
// writes there had been.
func (w *routeWriter) read(ctx context.Context) (route.Config, int, error) {
	w.mu.Lock()
	writes := w.writes
	w.mu.Unlock()
	have, err := w.kernel.Read(ctx)
	return have, writes, err
}

// move makes the routes match the view, as far as the last write shows what is there. It reads
// nothing from the kernel. If it does not know what is there, it leaves the routes to the next
// pass.
func (w *routeWriter) move(ctx context.Context, view func(plan.Tunnels) plan.View) (route.Change, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.written == nil || w.tunnels == nil {
		return route.Change{}, nil
	}
	return w.write(ctx, *w.written, view)
}

// write makes have what the tunnels and the view want. Callers hold mu.
func (w *routeWriter) write(ctx context.Context, have route.Config, view func(plan.Tunnels) plan.View) (route.Change, error) {
	var want route.Config
	if w.tunnels != nil {
		want = plan.Routes(*w.tunnels, view(*w.tunnels))
	}
	change := route.Diff(have, want)
	w.written = &want
	if change.Empty() {
		return change, nil
	}
	w.writes++
	done, err := w.kernel.Apply(ctx, change)
	if err != nil {
		w.written = nil
	}
	return done, err
}

// routePass moves the routes when a link has changed its state. Then it asks for a pass over
// everything, which finds what it could not know.
func (a *Agent) routePass(ctx context.Context) error {
	change, err := a.routeWriter.move(ctx, a.view)
	a.logRoutes(ctx, change)
	if !change.Empty() {
		a.metrics.moved(a.prober.statuses(), time.Now())
	}
	a.Changed()
	return err
}

// view is how the tunnels' links and the siblings are now. It tells the siblings, too: what they
// hand over may go over a link as soon as it is up, whether the routes show it yet or not.
func (a *Agent) view(t plan.Tunnels) plan.View {
	statuses := a.prober.statuses()
	view := plan.View{
		Links: linksByStatus(t.Links, statuses, !a.settled.Load(), time.Now()), Siblings: siblingsOf(t, statuses), Leaving: a.leaving.Load(),
	}
	a.prober.setReached(plan.Reached(t, view))
	return view
}

// applyRoutes makes the kernel's routes match the tunnels and their links; nil removes them.
func (a *Agent) applyRoutes(ctx context.Context, tunnels *plan.Tunnels) error {
	change, mended, err := a.routeWriter.sync(ctx, tunnels, a.view)
	a.logRoutes(ctx, change)
	if err == nil && !mended.Empty() {
		a.mended(ctx, partRoutes, describeMended(mended)...)
	}
	return err
}

func (a *Agent) logRoutes(ctx context.Context, change route.Change) {
	if change.Empty() {
		return
	}
	a.metrics.changes.WithLabelValues(string(partRoutes)).Inc()
	logr.FromContextOrDiscard(ctx).Info("changed routes", "table", route.TableTunnels, "set", describeRoutes(change.SetRoutes),
		"removed", describeRoutes(change.DeleteRoutes))
}
