package agent

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/dataplane/liveness"
	"github.com/tombolo-net/tombolo/dataplane/plan"
	"github.com/tombolo-net/tombolo/internal/clusterset"
)

// verdicts are what the answers of the gateways say, by the names of the GatewayNodes. A gateway that
// is not among them is unknown.
type verdicts map[string]liveness.Verdict

// live returns the gateways that live as far as the node knows: those that answer. While none does,
// those that have not answered this agent yet count, as long as they renew their Lease: an older
// version does not answer. A gateway asks no other and counts itself as live.
func (v verdicts) live(all []*v1alpha1.GatewayNode, node string) clusterset.LiveGateways {
	alive, unknown := clusterset.LiveGateways{}, clusterset.LiveGateways{}
	for _, g := range all {
		switch state := v[g.Name].State; {
		case state == liveness.Alive:
			alive[g.Name] = true
		case state == liveness.Unknown && (clusterset.HasHeartbeat(g) || g.Spec.NodeName == node):
			unknown[g.Name] = true
		}
	}
	if len(alive) > 0 {
		return alive
	}
	return unknown
}

// explain says which gateways get flows by that plan, sorted by name.
func (v verdicts) explain(in plan.NetworkInput, network plan.Network) []plan.ExplainedGateway {
	all := make([]plan.ExplainedGateway, 0, len(in.Gateways))
	for _, g := range in.Gateways {
		e := plan.ExplainedGateway{Name: g.Name, Used: slices.Contains(network.Via, g.Name), Answers: v[g.Name].State.String()}
		if since := v[g.Name].Since; !since.IsZero() {
			e.Since = &since
		}
		e.Why = v.why(g, in, network, e.Used)
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b plan.ExplainedGateway) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// why the gateway is used or not.
func (v verdicts) why(g *v1alpha1.GatewayNode, in plan.NetworkInput, network plan.Network, used bool) string {
	trouble := v.trouble(g)
	switch {
	case network.Gateway:
		return "this node is a gateway itself"
	case used && trouble == "":
		return "nothing speaks against it"
	case used:
		return trouble + ", but there is none better"
	case trouble != "":
		return trouble
	case !in.Live[g.Name]:
		return "it has not answered this node yet, and others do: does a firewall drop UDP between the nodes?"
	}
	return "it has no InternalIP of the family that this node's own has"
}

// trouble is what speaks against using the gateway; empty if nothing does.
func (v verdicts) trouble(g *v1alpha1.GatewayNode) string {
	ready := meta.FindStatusCondition(g.Status.Conditions, v1alpha1.ConditionReady)
	switch {
	case g.Status.Lane == nil:
		return "it has no lane yet"
	case v[g.Name].State == liveness.Dead:
		return "it does not answer this node"
	case clusterset.IsDraining(g):
		return "it drains"
	case !clusterset.HasHeartbeat(g):
		return "its agent does not renew its Lease"
	case ready != nil && ready.Status == "False":
		return "it is not ready: " + ready.Message
	}
	return ""
}

// noLiveGateway returns an error if nothing leads to the other clusters, because no gateway lives.
// Without any gateway there is none: RemoteClusters say so.
func (v verdicts) noLiveGateway(in plan.NetworkInput, network plan.Network) error {
	if len(in.Remotes) == 0 || len(network.Via) == 0 || len(in.Live) > 0 {
		return nil
	}
	return fmt.Errorf("%w answers this node (%s): check that their nodes run, and that no firewall drops UDP port %d between the nodes",
		errNoLiveGateway, someOf(network.Via), network.VXLAN.Devices[0].Port)
}

// silent are the gateways that have answered before and do not now, sorted.
func (v verdicts) silent() (names []string) {
	for name, verdict := range v {
		if verdict.State == liveness.Dead {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
