package exchange

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// changesPerSecond is the load: in how many of the crowd's EndpointSlices a pod is replaced by another.
const changesPerSecond = 100

// change replaces the last endpoint of one slice after another, by the clock, whether or not the others have followed,
// and returns how many it replaced. The observer is told of each address just before it is written.
func (s *servers) change(ctx context.Context, members []member, services int, window time.Duration, o *observer) (int, error) {
	slices := make([]*discoveryv1.EndpointSlice, 0, len(members)*services)
	for n := range services {
		for _, m := range members {
			slices = append(slices, m.slice(n))
		}
	}
	for _, one := range slices { // with the versions that they have
		if err := s.api[crowdName].Get(ctx, client.ObjectKeyFromObject(one), one); err != nil {
			return 0, err
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
			one.Endpoints[len(one.Endpoints)-1].Addresses = []string{address}
			o.expect(address)
			errs <- s.api[crowdName].Update(ctx, one)
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
