package agent

import (
	"context"

	"github.com/tombolo-net/tombolo/dataplane/plan"
)

// backend makes the kernel serve virtual services. It is used by the loop only. Errors name what was not done; the rest
// was, and what was not is tried again.
type backend interface {
	// sync brings the kernel in step with want where keys say that it changed, and with all of it at first and after an
	// error. It returns how many objects were written.
	sync(ctx context.Context, want servicesByKey, keys []plan.Key) (written int, err error)
	// repair looks for what others did, mends it, and returns how many objects were written. It is called once a second,
	// or less often where it takes long.
	repair(ctx context.Context, want servicesByKey) (written int, err error)
	// foreign are virtual services of others inside the VIP CIDRs, in words, as of the last repair or full sync.
	foreign() []string
	// close gives back what is held in this process; the kernel stays as it is.
	close()
}

// servicesByKey are what a backend serves: the virtual services of the plan, by their keys.
type servicesByKey map[plan.Key]plan.VirtualService
