// Package links measures how often links between gateways are called down that are not: the real
// probers, joined by a network in memory that loses packets, by the clock on the wall. It judges
// nothing.
package links

import (
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/gateway/probe"
	"github.com/tombolo-net/tombolo/test/bench/figures"
)

const (
	// loss is the share of packets that are lost, each way.
	loss = 0.02
	// pairs is how many pairs of gateways there are, with one link each.
	pairs = 2000
	// warmUp is how long links learn what they lose; then they are watched.
	warmUp, watched           = 2*time.Minute + 10*time.Second, 4 * time.Minute
	warmUpQuick, watchedQuick = 30 * time.Second, 30 * time.Second
)

// Measure adds the figure link_false_alarms_per_hour: how often in an hour a link is called down by
// one of its ends.
func Measure(ctx context.Context, quick bool, all *figures.List) error {
	before, after := warmUp, watched
	if quick {
		before, after = warmUpQuick, watchedQuick
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var downs atomic.Int64
	var counting atomic.Bool
	count := func() {
		if counting.Load() {
			downs.Add(1)
		}
	}
	g, gctx := errgroup.WithContext(ctx)
	for range pairs {
		if err := startPair(gctx, g, count); err != nil {
			return err
		}
	}
	fmt.Fprintf(os.Stderr, "  %d links lose %g of their packets each way: watching for %s after %s\n", pairs, loss, after, before)
	wait(ctx, before)
	counting.Store(true)
	begun := time.Now()
	wait(ctx, after)
	counting.Store(false)
	hours := time.Since(begun).Hours() * pairs
	err := ctx.Err()
	cancel()
	fmt.Fprintf(os.Stderr, "  %d false alarms in %.0f hours of links\n", downs.Load(), hours)
	all.Add("link_false_alarms_per_hour", float64(downs.Load())/hours, "1/h")
	return errors.Join(err, g.Wait())
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// startPair runs two gateways with a link between them, which calls down each time it goes down.
func startPair(ctx context.Context, g *errgroup.Group, down func()) error {
	var keys [2]*ecdh.PrivateKey
	for i := range keys {
		key, err := ecdh.X25519().GenerateKey(rand.Reader)
		if err != nil {
			return fmt.Errorf("making a key: %w", err)
		}
		keys[i] = key
	}
	addresses := [2]netip.Addr{netip.MustParseAddr("245.0.16.0"), netip.MustParseAddr("245.0.32.0")}
	conns := newWire(addresses, loss)
	ends := new(atomic.Int32)
	for i := range keys {
		e := &end{down: down, downs: ends}
		e.prober = probe.New(probe.Config{PrivateKey: [32]byte(keys[i].Bytes()), Conn: conns[i], OnChange: e.changed})
		peer := probe.Peer{Name: "peer", Address: addresses[1-i], PublicKey: [32]byte(keys[1-i].PublicKey().Bytes())}
		if err := e.prober.SetPeers([]probe.Peer{peer}); err != nil {
			return err
		}
		g.Go(func() error { return e.prober.Run(ctx) })
	}
	return nil
}

// end is one end of a link.
type end struct {
	prober *probe.Prober
	up     atomic.Bool
	downs  *atomic.Int32 // how many ends of the link have been up and are not
	down   func()
}

// changed sees the link's state, once it has changed. When one end gives up, the other one hears of
// it: that is one alarm.
func (e *end) changed() {
	up := e.prober.Statuses()["peer"].State == v1alpha1.LinkUp
	switch was := e.up.Swap(up); {
	case was && !up:
		if e.downs.Add(1) == 1 {
			e.down()
		}
	case up && !was && e.downs.Load() > 0:
		e.downs.Add(-1)
	}
}
