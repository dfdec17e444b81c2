package agent

import (
	"context"
	"strings"
	"time"

	"github.com/tombolo-net/tombolo/dataplane/backend"
	"github.com/tombolo-net/tombolo/internal/node"
)

// part is a part of the kernel that the agent keeps as planned. It owns what it wants, what of that
// has changed, what failed, and when to try again. The cause of a pass says what it compares with
// the kernel though nothing has changed: node.Ticked looks for what others did, and node.Audited
// compares everything.
type part interface {
	name() string
	// due reports whether sync has something to do.
	due(ctx context.Context, now time.Time, cause node.Cause) bool
	// sync brings the kernel in step. The error is about what it tried now.
	sync(ctx context.Context, now time.Time, cause node.Cause) (backend.Change, error)
	// failure returns why the kernel is not in step, as of the last attempt; nil if it is.
	failure() error
}

// attempts are what a part remembers of its attempts. What fails is tried again less and less
// often.
type attempts struct {
	retry   node.Retry
	problem error
}

func newRetry() node.Retry {
	return node.Retry{Backoff: node.Backoff{First: time.Second, Last: 30 * time.Second}, Every: repairInterval}
}

// record takes note of an attempt, and returns its error with the remedy.
func (a *attempts) record(now time.Time, err error) error {
	a.retry.Record(now, err)
	a.problem = remedied(err)
	return a.problem
}

func (a *attempts) failure() error { return a.problem }

// syncParts brings the parts of the kernel in step. It reports whether there was something to do.
func (a *Agent) syncParts(ctx context.Context, now time.Time, cause node.Cause) (busy bool) {
	busy = a.services.choose(a.planner, a.proxy.State(), cause)
	a.problems.set("backend", a.services.choice.Refusal)
	for _, p := range a.parts() {
		a.failover(ctx, now) // the part before may have taken long
		if p.due(ctx, now, cause) {
			a.syncPart(ctx, p, now, cause)
			busy = true
		}
		if err := p.failure(); a.problems.set(p.name(), err) && err != nil {
			a.log(ctx).Error(err, "kernel not in step", "part", p.name())
		}
	}
	return busy
}

// syncPart brings one part in step, and reports what it did.
func (a *Agent) syncPart(ctx context.Context, p part, now time.Time, cause node.Cause) {
	m, begin, failed := a.cfg.Metrics, time.Now(), p.failure() != nil
	did, err := p.sync(ctx, now, cause)
	if failed || err != nil {
		did.Mended = nil // it may be the agent's own work that was left half done
	}
	elapsed := time.Since(begin)
	m.syncDuration.WithLabelValues(p.name()).Observe(elapsed.Seconds())
	if err != nil {
		m.syncErrors.WithLabelValues(p.name()).Inc()
	}
	if did.Written > 0 {
		m.kernelWrites.WithLabelValues(p.name()).Add(float64(did.Written))
		a.log(ctx).Info("kernel changed", "part", p.name(), "objects", did.Written, "what", strings.Join(did.What, ", "), "mended", len(did.Mended), "elapsed", elapsed.String())
	}
	if p != part(a.flows) {
		a.flows.note(did)
	}
	if len(did.Mended) > 0 {
		a.others.record(p.name(), did.Mended, now)
		if p == part(a.services) && a.services.contest(a.others) {
			a.loop.Mark()
		}
		m.repairs.WithLabelValues(p.name()).Inc()
		a.warn(reasonRepaired, repairing[p.name()], "mended what others had changed: "+someOf(did.Mended))
	}
}
