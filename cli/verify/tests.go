package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/tombolo-net/tombolo/cli/testbed"
	"github.com/tombolo-net/tombolo/internal/echo"
)

// Result is how one test ended.
type Result struct {
	// Test is its name, such as "clusterset IP, UDP".
	Test string `json:"test"`
	// From is the cluster of the client, and To that of the servers; empty: all.
	From string `json:"from"`
	To   string `json:"to,omitempty"`
	// Outcome is passed, failed or skipped.
	Outcome outcome `json:"outcome"`
	// Message says what is wrong, or why it was skipped.
	Message string  `json:"message,omitempty"`
	Seconds float64 `json:"seconds"`
}

type outcome string

const (
	passed  outcome = "passed"
	failed  outcome = "failed"
	skipped outcome = "skipped"
)

// How much is asked.
const (
	atOnce = 8
	count  = 6
)

// results collects from tests that run at once.
type results struct {
	patience time.Duration // of each question

	mu  sync.Mutex // guards all
	all []Result
}

func (r *results) add(test, from, to string, began time.Time, err error) {
	one := Result{Test: test, From: from, To: to, Outcome: passed, Seconds: time.Since(began).Seconds()}
	var skip skip
	switch {
	case errors.As(err, &skip):
		one.Outcome, one.Message = skipped, string(skip)
	case err != nil:
		one.Outcome, one.Message = failed, err.Error()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, one)
}

// failed tells whether a test failed until now.
func (r *results) failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return anyFailed(r.all)
}

func anyFailed(all []Result) bool {
	return slices.ContainsFunc(all, func(r Result) bool { return r.Outcome == failed })
}

// sorted are the results by client's cluster, servers' cluster and test.
func (r *results) sorted() []Result {
	slices.SortStableFunc(r.all, func(a, b Result) int {
		return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To), cmp.Compare(a.Test, b.Test))
	})
	return r.all
}

// skip says why a test cannot be run.
type skip string

// Error implements error.
func (s skip) Error() string { return string(s) }

// resolvers waits until each site's client resolves a name of its own site. CoreDNS reads a changed
// Corefile within two minutes. After the timeout it is the tests that tell what does not resolve.
func resolvers(ctx context.Context, b *testbed.Bed, timeout time.Duration, say func(string)) error {
	within, stop := context.WithTimeout(ctx, timeout)
	defer stop()
	var g errgroup.Group
	for _, s := range b.Sites {
		question := echo.Question{Network: "udp", Host: b.Name(s.Ordinary()), Port: testbed.ServicePort, Patience: time.Second}
		g.Go(func() error {
			return wait.PollUntilContextCancel(within, time.Second, true, func(ctx context.Context) (bool, error) {
				reply, err := s.Ask(ctx, question)
				if err != nil {
					reply.Error = err.Error()
				}
				if reply.Error != "" {
					say(fmt.Sprintf("%s: waiting until CoreDNS has read its new Corefile: %s", s.ID, reply.Error))
				}
				return reply.Error == "", nil
			})
		})
	}
	_ = g.Wait() // that the time is up
	return ctx.Err()
}

// pairs tests the way from each site to each site, also to itself.
func pairs(ctx context.Context, b *testbed.Bed, r *results, say func(string)) error {
	var g errgroup.Group
	g.SetLimit(atOnce)
	for _, from := range b.Sites {
		for _, to := range b.Sites {
			for _, test := range ofPair {
				g.Go(func() error {
					say(fmt.Sprintf("%s to %s: %s", from.ID, to.ID, test.name))
					test.run(ctx, b, from, to, r)
					return nil
				})
			}
		}
	}
	_ = g.Wait() // what fails is in the results
	return ctx.Err()
}

// ofPair are the tests of one direction between two clusters. Each adds its results.
var ofPair = []struct {
	name string
	run  func(ctx context.Context, b *testbed.Bed, from, to *testbed.Site, r *results)
}{
	{"clusterset IP", func(ctx context.Context, b *testbed.Bed, from, to *testbed.Site, r *results) {
		for _, network := range []string{"tcp", "udp"} {
			began := time.Now()
			reply, err := from.Ask(ctx, echo.Question{Network: network, Host: b.Name(to.Ordinary()), Port: testbed.ServicePort, Count: count, Patience: r.patience})
			name := map[string]string{"tcp": "TCP", "udp": "UDP"}[network]
			r.add("clusterset IP, "+name, string(from.ID), string(to.ID), began, cmp.Or(err, servedBy(reply, to.Servers)))
			if cmp.Or(err, answered(reply)) == nil { // otherwise one failure would be told twice
				r.add("sources are kept, "+name, string(from.ID), string(to.ID), began, keepsSources(reply, &from.Client))
			}
		}
	}},
	{"headless", func(ctx context.Context, b *testbed.Bed, from, to *testbed.Site, r *results) {
		began := time.Now()
		reply, err := from.Ask(ctx, echo.Question{Network: "tcp", Host: b.Name(to.Headless()), Port: testbed.ServerPort, Count: 1, Patience: r.patience})
		r.add("headless", string(from.ID), string(to.ID), began, cmp.Or(err, isHeadless(reply, to.Servers)))
	}},
	{"session affinity", func(ctx context.Context, b *testbed.Bed, from, to *testbed.Site, r *results) {
		began := time.Now()
		reply, err := from.Ask(ctx, echo.Question{Network: "tcp", Host: b.Name(to.Sticky()), Port: testbed.ServicePort, Count: 2 * count, Patience: r.patience})
		r.add("session affinity", string(from.ID), string(to.ID), began, cmp.Or(err, keepsAffinity(reply)))
	}},
}
