package agent

import (
	"context"
	"time"

	"github.com/tombolo-net/tombolo/dataplane/plan"
)

// backend makes the kernel serve virtual services. It is used by the loop only. Errors name what was not done; the rest
// was, and what was not is tried again.
type backend interface {
	// sync brings the kernel in step with want where keys say that it changed, and with all of it at first and after an
	// error.
	sync(ctx context.Context, want servicesByKey, keys []plan.Key) (outcome, error)
	// touched tells whether others may have done something that repair should mend. It is asked once a second, and costs
	// next to nothing as long as they have not.
	touched(ctx context.Context) bool
	// repair mends it, if they have. Once in a while it is to be thorough.
	repair(ctx context.Context, thorough bool) (outcome, error)
	// leave takes away what is there of this backend's, once another one serves, and is called again until it has all
	// gone: flows that are under way may be given time to end.
	leave(ctx context.Context, now time.Time) (o outcome, gone bool, err error)
	// foreign are virtual services of others inside the VIP CIDRs, in words, as of the last repair or full sync.
	foreign() []string
	// remarks are what is to be known, with the remedy, though the kernel is as wanted; as of the last thorough repair.
	remarks() []string
	// close gives back what is held in this process; the kernel stays as it is.
	close()
}

// servicesByKey are what a backend serves: the virtual services of the plan, by their keys.
type servicesByKey map[plan.Key]plan.VirtualService

// outcome is what a step did to the kernel.
type outcome struct {
	// written is how many objects were.
	written int
	// mended says in words what others had changed and is again as it should be.
	mended []string
	// idle is true if nothing was tried, since it is too early to try again what failed.
	idle bool
}

func (o outcome) and(other outcome) outcome {
	return outcome{written: o.written + other.written, mended: append(o.mended, other.mended...)}
}
