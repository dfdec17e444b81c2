package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/tombolo-net/tombolo/dataplane/backend"
	"github.com/tombolo-net/tombolo/dataplane/plan"
	"github.com/tombolo-net/tombolo/internal/kernel/firewall"
	"github.com/tombolo-net/tombolo/internal/kernel/route"
	"github.com/tombolo-net/tombolo/internal/kernel/rtnl"
	"github.com/tombolo-net/tombolo/internal/kernel/tunnel"
	"github.com/tombolo-net/tombolo/internal/kernel/vxlan"
	"github.com/tombolo-net/tombolo/internal/node"
)

// leftovers are the part that removes what a gateway agent left on a node that is no gateway any more:
// it has neither the label nor a GatewayNode. What is left would go on sending by tunnels that nobody
// looks after.
type leftovers struct {
	attempts
	// wanted is true while nothing of a gateway may be there, and looked once nothing is.
	wanted, looked bool
	// routes must be there before what they replace goes.
	routes *routes
}

func newLeftovers(routes *routes) *leftovers {
	return &leftovers{attempts: attempts{retry: newRetry()}, routes: routes}
}

func (l *leftovers) name() string { return "leftovers" }

// want takes note of whether the node is a gateway. Outside of a clusterset nothing follows.
func (l *leftovers) want(network plan.Network, inClusterSet bool) {
	was := l.wanted
	l.wanted = inClusterSet && !network.Gateway
	l.looked = l.looked && was && l.wanted
}

// due: nobody waits for it.
func (l *leftovers) due(_ context.Context, now time.Time, cause node.Cause) bool {
	return l.wanted && cause != node.Marked && l.routes.settled() && (!l.looked || cause == node.Audited) &&
		(!l.retry.Failing() || l.retry.Due(now, false) || cause == node.Audited)
}

func (l *leftovers) sync(ctx context.Context, now time.Time, _ node.Cause) (did backend.Change, err error) {
	running, err := gatewayRuns()
	if err != nil || running {
		return did, l.record(now, err)
	}
	did.Written, err = removeGateway(ctx)
	l.looked = err == nil
	return did, l.record(now, err)
}

// gatewayRuns reports whether a gateway agent runs on this node: it has a socket for probes as long as
// it has tunnels. The kernel's list has a socket in a line, with "address:port" in hex as the second
// word.
func gatewayRuns() (bool, error) {
	sockets, err := os.ReadFile("/proc/thread-self/net/udp")
	if err != nil {
		return false, fmt.Errorf("listing UDP sockets: %w", err)
	}
	port := fmt.Sprintf(":%04X", plan.ProbePort)
	for line := range strings.Lines(string(sockets)) {
		if words := strings.Fields(line); len(words) > 1 && strings.HasSuffix(words[1], port) {
			return true, nil
		}
	}
	return false, nil
}

// removeGateway removes what gateway agents make, in the order in which they do, and returns how many
// objects were there.
func removeGateway(ctx context.Context) (removed int, err error) {
	routes, errRoutes := route.GatewayOwner().Sync(ctx, route.Config{})
	devices, errDevices := removeTunnels(ctx)
	handover, errHandover := vxlan.Sync(ctx, vxlan.Config{}, vxlan.HandoverName)
	removed = routes.Size() + devices + handover.Size()
	errs := []error{errRoutes, errDevices, errHandover}
	for _, name := range []string{firewall.GatewayTable, firewall.IngressTable} {
		table, err := firewall.New(name).Sync(ctx, firewall.Config{})
		if errs = append(errs, err); !table.Empty() {
			removed++
		}
	}
	if err := errors.Join(errs...); err != nil {
		return removed, fmt.Errorf("removing what a gateway agent left: %w", err)
	}
	return removed, nil
}

func removeTunnels(ctx context.Context) (removed int, err error) {
	links, err := rtnl.Dump(ctx, "links", netlink.LinkList)
	if err != nil {
		return 0, err
	}
	var errs []error
	for _, link := range links {
		if !tunnel.Is(link) {
			continue
		}
		if err := rtnl.DeleteLink(link); err != nil {
			errs = append(errs, fmt.Errorf("removing %s: %w", link.Attrs().Name, err))
			continue
		}
		removed++
	}
	return removed, errors.Join(errs...)
}
