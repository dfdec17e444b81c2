package agent

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tombolo-net/tombolo/gateway/wireguard"
)

// stuckTunnels never say whether tunnels can be made.
type stuckTunnels struct {
	memoryTunnels
	release chan struct{}
}

func (s stuckTunnels) Check() error {
	<-s.release
	return wireguard.ErrNoKernelSupport
}

// A gateway that is stuck in a pass does not say that it lives.
func TestNoLeaseWhileStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		memory := &memoryKernel{}
		kernel := memory.kernel()
		stuck := stuckTunnels{memoryTunnels{memory}, make(chan struct{})}
		kernel.Tunnels = stuck
		a := New(Config{NodeName: "east-0", Kernel: kernel})
		a.setKey(wireguard.PrivateKey{1})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); a.tunnels.Run(ctx) }()
		time.Sleep(2 * time.Minute)
		if err := a.renewLease(ctx, time.Now()); err == nil || !strings.Contains(err.Error(), "not renewing the Lease") {
			t.Errorf("got %v while the tunnels loop is stuck", err)
		}
		cancel()
		close(stuck.release)
		<-done
	})
}
