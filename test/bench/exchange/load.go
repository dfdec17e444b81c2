package exchange

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
)

// changesPerSecond is the load: in how many of the crowd's EndpointSlices a pod is replaced by
// another.
const changesPerSecond = 100

// change replaces the last endpoint of one slice after another, by the clock, whether or not the
// others have followed, and returns how many it replaced. The observer hears of each address just
// before it is written.
func (s *servers) change(ctx context.Context, members []member, services int, window time.Duration, o *observer) (int, error) {
	slices := make([]*discoveryv1.EndpointSlice, 0, len(members)*services)
	for n := range services {
		for _, m := range members {
			slices = append(slices, m.slice(n))
		}
	}
	total := int(window.Seconds() * changesPerSecond)
	start := time.Now()
	var running sync.WaitGroup
	errs := make(chan error, total)
	for n := range total {
		select {
		case <-ctx.Done():
		case <-time.After(time.Until(start.Add(time.Duration(n) * time.Second / changesPerSecond))):
		}
		one, m := slices[n%len(slices)], members[n%len(members)]
		running.Go(func() {
			address := m.address(spare + n)
			next := one.DeepCopy()    // its turn may come again before this is answered
			next.ResourceVersion = "" // and then the later one counts
			next.Endpoints[len(next.Endpoints)-1].Addresses = []string{address}
			o.expect(address)
			errs <- s.api[crowdName].Update(ctx, next)
		})
	}
	running.Wait()
	close(errs)
	var failed error
	for err := range errs {
		failed = errors.Join(failed, err)
	}
	if failed != nil {
		return 0, fmt.Errorf("changing endpoints: %w", failed)
	}
	return total, nil
}
