// Package links measures how often links between gateways are called down that are not: the real
// probers, joined by a network in memory that loses packets. Their clock is testing/synctest's, which
// jumps to when something happens next: hours take minutes, and a busy machine makes nothing late. It
// judges nothing.
package links

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/gateway/probe"
	"github.com/tombolo-net/tombolo/test/bench/figures"
)

const (
	// loss is the share of packets that are lost, each way, and delay how long the others take.
	loss  = 0.02
	delay = 10 * time.Millisecond
	// pairs is how many pairs of gateways there are, with one link each.
	pairs = 50
	// warmUp is how long links learn what they lose; then they are watched for some hours.
	warmUp               = 5 * time.Minute
	hours, hoursForQuick = 4, 1
)

// Command is the name of the command that runs Inside.
const Command = "links"

// Measure adds the figure link_false_alarms_per_hour: how often in an hour a link is called down by
// one of its ends. self is the program whose command Command is Inside: what has the clock of a test
// ends its process.
func Measure(ctx context.Context, self string, quick bool, all *figures.List) error {
	watched := hours
	if quick {
		watched = hoursForQuick
	}
	cmd := exec.CommandContext(ctx, self, Command, fmt.Sprint(watched))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("simulating links: %w: %s", err, out)
	}
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		var f figures.Figure
		if json.Unmarshal(lines.Bytes(), &f) == nil {
			*all = append(*all, f)
			return nil
		}
	}
	return fmt.Errorf("simulating links: no figure in %q", out)
}

// Inside watches links for some hours, prints the figure as a line of JSON, and ends the process.
func Inside(hours int) {
	all := func(string, string) (bool, error) { return true, nil }
	testing.Main(all, []testing.InternalTest{{Name: "Links", F: func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			if err := simulate(t.Context(), hours); err != nil {
				t.Error(err)
			}
		})
	}}}, nil, nil)
}

// simulate runs in a bubble of synctest.
func simulate(ctx context.Context, hours int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var alarms atomic.Int64
	var counting atomic.Bool
	alarm := func() {
		if counting.Load() {
			alarms.Add(1)
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	for range pairs {
		if err := startPair(ctx, g, alarm); err != nil {
			return err
		}
	}
	time.Sleep(warmUp) // the bubble's clock: it takes no time
	counting.Store(true)
	for hour := range hours {
		time.Sleep(time.Hour)
		fmt.Fprintf(os.Stderr, "  %d false alarms in %d hours of links, at a loss of %g each way\n", alarms.Load(), (hour+1)*pairs, loss)
	}
	cancel()
	line, err := json.Marshal(figures.Figure{Name: "link_false_alarms_per_hour", Value: float64(alarms.Load()) / float64(hours*pairs), Unit: "1/h"})
	fmt.Printf("%s\n", line)
	return errors.Join(err, g.Wait())
}

// startPair runs two gateways with a link between them, and calls alarm each time it goes down.
func startPair(ctx context.Context, g *errgroup.Group, alarm func()) error {
	var keys [2]*ecdh.PrivateKey
	for i := range keys {
		key, err := ecdh.X25519().GenerateKey(rand.Reader)
		if err != nil {
			return fmt.Errorf("making a key: %w", err)
		}
		keys[i] = key
	}
	addresses := [2]netip.Addr{netip.MustParseAddr("245.0.16.0"), netip.MustParseAddr("245.0.32.0")}
	conns := newWire(addresses, loss, delay)
	downs := new(atomic.Int32)
	for i := range keys {
		e := &end{alarm: alarm, downs: downs}
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
	alarm  func()
}

// changed sees the link's state, once it has changed. When one end gives up, the other one hears of
// it: that is one alarm.
func (e *end) changed() {
	up := e.prober.Statuses()["peer"].State == v1alpha1.LinkUp
	switch was := e.up.Swap(up); {
	case was && !up:
		if e.downs.Add(1) == 1 {
			e.alarm()
		}
	case up && !was && e.downs.Load() > 0:
		e.downs.Add(-1)
	}
}
