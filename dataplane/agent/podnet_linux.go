package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/tombolo-net/tombolo/dataplane/backend"
	"github.com/tombolo-net/tombolo/dataplane/filter"
	"github.com/tombolo-net/tombolo/dataplane/plan"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/internal/kernel/podnet"
	"github.com/tombolo-net/tombolo/internal/node"
)

// podNetwork is the part that looks at the kernel's settings that pods need. It writes nothing: they
// are the CNI's and the admin's.
type podNetwork struct {
	pods []netip.Prefix
	// addresses are the node's own.
	addresses []netip.Addr
	// untracked is how many packets were untracked until the last look, if counted is true.
	untracked uint64
	counted   bool
	// looked is true after the first look at the network of now, and remarks what it found. While it
	// fails, retry says when the next one is due.
	looked  bool
	retry   node.Retry
	remarks []string
	problem error
}

// errSettings is that a setting of the kernel keeps clusterset IPs from working.
var errSettings = errors.New("this node's network needs another setting")

func (p *podNetwork) name() string { return "podnetwork" }

// want takes note of the node's own pods.
func (p *podNetwork) want(in plan.NetworkInput) {
	var pods []netip.Prefix
	p.addresses = nil
	for _, n := range in.Nodes {
		if n.Name != in.Node {
			continue
		}
		p.addresses = clusterset.InternalIPs(n)
		for _, cidr := range n.Spec.PodCIDRs {
			if prefix, err := netip.ParsePrefix(cidr); err == nil {
				pods = append(pods, prefix.Masked())
			}
		}
	}
	p.looked = p.looked && slices.Equal(p.pods, pods)
	p.pods = pods
}

// due once a minute: nobody announces these changes.
func (p *podNetwork) due(_ context.Context, now time.Time, cause node.Cause) bool {
	return cause == node.Audited || cause == node.Ticked && !p.looked && p.retry.Due(now, false)
}

func (p *podNetwork) sync(ctx context.Context, now time.Time, _ node.Cause) (backend.Change, error) {
	facts, err := p.read(ctx)
	p.retry.Record(now, err)
	if err != nil {
		return backend.Change{}, err
	}
	p.looked, p.problem, p.remarks = true, nil, facts.Remarks()
	if problems := facts.Problems(); len(problems) > 0 {
		p.problem = fmt.Errorf("%w: %w", errSettings, errors.Join(problems...))
	}
	return backend.Change{}, nil
}

// read returns what is to be seen now.
func (p *podNetwork) read(ctx context.Context) (podnet.Facts, error) {
	facts, err := podnet.Read(ctx, p.pods)
	if err != nil {
		return facts, err
	}
	untracked, err := filter.Untracked()
	if err != nil {
		return facts, err
	}
	facts.Untracked = p.counted && untracked > p.untracked
	p.untracked, p.counted = untracked, true
	strayed, err := filter.Strayed()
	if err != nil {
		return facts, err
	}
	facts.Strict, err = podnet.ReadStrict(ctx, strayed, p.addresses)
	return facts, err
}

func (p *podNetwork) failure() error { return p.problem }
