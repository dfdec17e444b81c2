package exchange

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"sigs.k8s.io/controller-runtime/pkg/manager"
)

// Whoever waits for the crowd learns that a member has failed, and with it all.
func TestCrowdEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		failing, failed := make(chan struct{}), errors.New("a cache has not synced")
		c := gather(ctx, stop, []manager.RunnableFunc{
			func(ctx context.Context) error { <-ctx.Done(); return nil },
			func(context.Context) error { <-failing; return failed },
		})
		if err := c.running(); err != nil {
			t.Errorf("while all run: %v", err)
		}
		close(failing)
		synctest.Wait()
		if err := c.running(); !errors.Is(err, failed) {
			t.Errorf("after one has failed: %v", err)
		}
		if err := c.end(); !errors.Is(err, failed) {
			t.Errorf("at the end: %v", err)
		}
	})
}
