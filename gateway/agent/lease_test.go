package agent

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/tombolo-net/tombolo/gateway/wireguard"
)

// stuckClient never answers, until it is released.
type stuckClient struct {
	client.Client
	release chan struct{}
}

func (s stuckClient) Get(context.Context, client.ObjectKey, client.Object, ...client.GetOption) error {
	<-s.release
	return errors.New("released")
}

// A gateway that is stuck in a pass does not say that it lives.
func TestNoLeaseWhileStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stuck := stuckClient{release: make(chan struct{})}
		a := New(Config{NodeName: "east-0", Kernel: (&memoryKernel{}).kernel(), Client: stuck})
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
