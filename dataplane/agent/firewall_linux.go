package agent

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/tombolo-net/tombolo/dataplane/backend"
	"github.com/tombolo-net/tombolo/dataplane/plan"
	"github.com/tombolo-net/tombolo/internal/kernel/firewall"
	"github.com/tombolo-net/tombolo/internal/kernel/nft"
	"github.com/tombolo-net/tombolo/internal/node"
)

// readCounters is how often the agent looks whether a firewall drops what must pass.
const readCounters = 5 * time.Second

// hostFirewall is the part that admits packets to clusterset IPs in the node's own firewall, and
// sees what that drops.
type hostFirewall struct {
	attempts
	table    *firewall.Table
	services *services
	network  plan.Network
	wanted   firewall.Config
	// dirty is true if what is wanted may have changed since the last attempt, and byIPVS is what it
	// followed from then.
	dirty, byIPVS bool
	// read is when the counters were read last, blocked what is dropped by them, and remarks what
	// may be dropped on purpose.
	read    time.Time
	blocked error
	remarks []string
}

func newHostFirewall(s *services, writes *nft.Writes) *hostFirewall {
	return &hostFirewall{attempts: attempts{retry: newRetry()}, table: firewall.New(firewall.NodeTable).Share(writes), services: s, dirty: true}
}

func (h *hostFirewall) name() string { return "firewall" }

func (h *hostFirewall) setNetwork(network plan.Network) {
	h.network, h.dirty = network, true
}

// due costs one netlink request in a repair, as long as nobody writes to nftables.
func (h *hostFirewall) due(_ context.Context, now time.Time, cause node.Cause) bool {
	h.dirty = h.dirty || h.byIPVS != h.services.byIPVS()
	if h.retry.Failing() {
		return h.retry.Due(now, h.dirty) || cause == node.Audited
	}
	return h.dirty || cause != node.Marked && (now.Sub(h.read) >= readCounters || h.table.Touched())
}

func (h *hostFirewall) sync(ctx context.Context, now time.Time, _ node.Cause) (did backend.Change, err error) {
	if h.dirty {
		h.byIPVS = h.services.byIPVS()
		h.wanted = firewall.Config{Passages: passages(h.network, h.byIPVS)}
	}
	touched := !h.dirty && !h.retry.Failing()
	change, err := h.table.Sync(ctx, h.wanted)
	h.dirty = false
	if !change.Empty() {
		did.Written = 1
		if touched {
			did.Mended = []string{"the nftables table " + firewall.NodeTable + " or its rules in iptables"}
		}
	}
	if err == nil && now.Sub(h.read) >= readCounters {
		h.read = now
		err = h.look(now)
	}
	return did, h.record(now, err)
}

// look reads the counters.
func (h *hostFirewall) look(now time.Time) error {
	found, err := h.table.Blocked(now, h.wanted)
	if err != nil {
		return err
	}
	h.remarks = nil
	var blocked []error
	for _, f := range found {
		if errors.Is(f, firewall.ErrBlocked) {
			blocked = append(blocked, f)
		} else {
			h.remarks = append(h.remarks, f.Error())
		}
	}
	h.blocked = errors.Join(blocked...)
	return nil
}

func (h *hostFirewall) failure() error {
	if h.problem != nil {
		return h.problem
	}
	return h.blocked
}

// passages are what must pass the node's own firewall. IPVS takes its packets out of the hook input
// at priority 98, while nftables translates them before they get there. The VXLAN is not admitted
// by us in iptables. What the filter drops, at priority 105 of the hook input, does not count.
func passages(network plan.Network, byIPVS bool) (all []firewall.Passage) {
	if devices := network.VXLAN.Devices; len(devices) > 0 && len(network.Overlay.Nodes) > 0 {
		all = append(all, firewall.Passage{Name: "vxlan", What: "VXLAN packets of other nodes", Hook: "input", Ports: []uint16{devices[0].Port},
			Senders: network.Overlay.Nodes, Until: 104})
	}
	if byIPVS && len(network.VIPs) > 0 {
		all = append(all, firewall.Passage{Name: "vips", What: "packets to clusterset IPs", Hook: "input", Destinations: network.VIPs,
			Until: 97, Admit: firewall.AdmitLast, From: slices.Clone(network.Own), Policies: true})
	}
	return all
}
