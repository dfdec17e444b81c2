package agent

import (
	"context"
	"net/netip"
	"sync/atomic"

	"github.com/go-logr/logr"

	"github.com/tombolo-net/tombolo/gateway/plan"
	"github.com/tombolo-net/tombolo/gateway/probe"
	"github.com/tombolo-net/tombolo/gateway/wireguard"
	"github.com/tombolo-net/tombolo/internal/kernel/route"
)

// proberSlot holds the prober that runs for one key and tunnel address. The zero value holds none.
// One goroutine at a time uses it, but statuses, setReached and setDraining are safe for concurrent use.
type proberSlot struct {
	// running is prober, for statuses and say.
	running atomic.Pointer[probe.Prober]
	// draining is what the prober says of this gateway.
	draining atomic.Bool
	prober   *probe.Prober
	key      wireguard.PrivateKey
	address  netip.Addr
	cancel   context.CancelFunc
	done     chan struct{}
}

// runsFor reports whether a prober for that key and address is running. A prober that has ended by
// itself is not.
func (s *proberSlot) runsFor(key wireguard.PrivateKey, address netip.Addr) bool {
	if s.prober == nil || s.key != key || s.address != address {
		return false
	}
	select {
	case <-s.done:
		return false
	default:
		return true
	}
}

// start runs p instead of the previous prober, until ctx ends or p is stopped.
func (s *proberSlot) start(ctx context.Context, p *probe.Prober, key wireguard.PrivateKey, address netip.Addr) {
	s.stop()
	s.prober, s.key, s.address, s.done = p, key, address, make(chan struct{})
	s.running.Store(p)
	p.SetDraining(s.draining.Load())
	ctx, s.cancel = context.WithCancel(ctx)
	go func(done chan struct{}) {
		defer close(done)
		if err := p.Run(ctx); err != nil {
			logr.FromContextOrDiscard(ctx).Error(err, "prober ended, will be started again")
		}
	}(s.done)
}

// stop ends the prober and waits for it.
func (s *proberSlot) stop() {
	if s.prober == nil {
		return
	}
	s.cancel()
	<-s.done
	s.prober, s.key, s.address, s.cancel, s.done = nil, wireguard.PrivateKey{}, netip.Addr{}, nil, nil
	s.running.Store(nil)
}

// setPeers has the prober probe these links and siblings. A link in use counts as up at first, and
// so does a sibling that the kernel's routes hand over to.
func (s *proberSlot) setPeers(t plan.Tunnels, inUse map[plan.LinkID]bool, have route.Config) error {
	peers := make([]probe.Peer, 0, len(t.Links)+len(t.Siblings))
	for _, l := range t.Links {
		peers = append(peers, probe.Peer{
			Name: linkName(l.LinkID), Group: string(l.Cluster), Address: l.TunnelAddress, PublicKey: l.PublicKey, InUse: inUse[l.LinkID],
		})
	}
	return s.prober.SetPeers(append(peers, siblingPeers(t, have)...))
}

// setReached makes the prober say to the siblings which clusters this gateway reaches.
func (s *proberSlot) setReached(indexes []int32) {
	p := s.running.Load()
	if p == nil {
		return
	}
	var reached probe.Members
	for _, i := range indexes {
		reached.Add(i)
	}
	p.SetReached(reached)
}

// setDraining makes the prober, and each one after it, say whether this gateway drains.
func (s *proberSlot) setDraining(draining bool) {
	s.draining.Store(draining)
	if p := s.running.Load(); p != nil {
		p.SetDraining(draining)
	}
}

// statuses are the links' statuses by linkName; nil without a prober.
func (s *proberSlot) statuses() map[string]probe.Status {
	p := s.running.Load()
	if p == nil {
		return nil
	}
	return p.Statuses()
}
