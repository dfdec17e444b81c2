package explain

import (
	"slices"
	"strings"

	"github.com/tombolo-net/tombolo/api/v1alpha1"
	"github.com/tombolo-net/tombolo/internal/clusterset"
	"github.com/tombolo-net/tombolo/internal/topology"
)

// others are the other clusters that the client's node sends new flows to.
func (w *walk) others() []v1alpha1.ClusterID {
	var ids []v1alpha1.ClusterID
	add := func(id v1alpha1.ClusterID) {
		if id != w.client.ID() && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	for _, d := range w.destinations() {
		add(d.cluster)
	}
	return ids
}

// dead is what plan.ExplainedGateway calls a gateway that does not answer the node any more.
const dead = "dead"

// gateway looks at the gateways of the client's cluster, if flows leave it.
func (w *walk) gateway() {
	id := w.client.ID()
	if len(w.others()) == 0 {
		w.say(Good, id, "", "flows stay in the cluster, and need none")
		return
	}
	told := w.client.Told[w.Client.Node]
	var used, silent []string
	for _, g := range told.Gateways {
		if g.Used {
			used = append(used, g.Name)
		}
		if g.Answers == dead {
			silent = append(silent, g.Name)
		}
	}
	switch {
	case len(used) > len(silent):
		w.say(Good, id, "GatewayNodes", "node %s uses %s", w.Client.Node, strings.Join(used, ", "))
	case len(w.client.GatewayNodes) > 0 && len(silent) == 0:
		w.say(Good, id, "GatewayNodes", "the cluster has %d", len(w.client.GatewayNodes))
	}
	for _, f := range w.findings(id, "GatewayNode", "", "") {
		w.finding(w.gatewayState(w.client, f), f)
	}
	w.silent(told, silent)
	w.sayLost()
}

// silent adds the gateways that do not answer the client's node, unless something else says that they
// are not right.
func (w *walk) silent(told Told, names []string) {
	if slices.ContainsFunc(w.hops, func(h Hop) bool { return h.State == Failed }) {
		return
	}
	id := w.client.ID()
	for _, f := range w.findings(id, "Node", "", w.Client.Node) {
		if f.Reason == v1alpha1.ReasonNoLiveGateway && len(names) == 0 {
			w.finding(Failed, f)
		}
	}
	state := Warning
	if len(names) == len(told.Gateways) {
		state = Failed
	}
	for i := range w.client.GatewayNodes {
		g := &w.client.GatewayNodes[i]
		if slices.Contains(names, g.Name) && len(w.findings(id, "GatewayNode", g.Namespace, g.Name)) == 0 {
			w.say(state, id, object("GatewayNode", g.Namespace, g.Name), "it does not answer node %s: does its node run, and does UDP 7473 "+
				"pass between the two nodes, both ways?", w.Client.Node)
		}
	}
}

// gatewayState is Failed if the finding leaves no gateway of the cluster that works.
func (w *walk) gatewayState(in *Cluster, f topology.Finding) State {
	if f.Severity != topology.SeverityError {
		return Warning
	}
	for _, c := range w.picture.Clusters {
		if c.ID == in.ID() && slices.ContainsFunc(c.Gateways, func(g topology.Gateway) bool { return g.State == topology.GatewayReady }) {
			return Warning
		}
	}
	return Failed
}

// link looks at the tunnels to the clusters that flows go to.
func (w *walk) link() {
	others := w.others()
	for _, exporter := range w.exporters {
		if exporter == w.client.ID() {
			continue
		}
		w.linkTo(exporter, slices.Contains(others, exporter))
	}
	w.sayLost()
}

func (w *walk) linkTo(other v1alpha1.ClusterID, used bool) {
	id, looked := w.client.ID(), "RemoteCluster "+string(other)
	for _, f := range w.findings(id, "RemoteCluster", "", string(other)) {
		if f.Condition == v1alpha1.ConditionContentAccepted {
			continue // it is about imports
		}
		state := worst([]topology.Finding{f})
		if !used {
			state = Warning // flows go elsewhere
		}
		w.finding(state, f)
	}
	for _, c := range w.picture.Clusters {
		for _, r := range c.Remotes {
			if c.ID != id || r.ID != other || !r.Reachable {
				continue
			}
			for _, l := range r.Links {
				if l.State == v1alpha1.LinkDown {
					w.say(Warning, id, looked, "link %s to %s is down: %s", l.Gateway, l.RemoteGateway, l.Message)
				}
			}
			w.say(Good, id, looked, "%d of %d links are up, %d ms", r.LinksUp, r.LinksTotal, r.RTTMilliseconds)
		}
	}
}

// filter looks at what the other clusters admit: sources in the CIDRs that the hub's admin approved.
func (w *walk) filter() {
	id := w.client.ID()
	for _, other := range w.others() {
		c := w.asked(other)
		if c == nil {
			w.say(Unknown, other, "RemoteCluster "+string(id), "cluster %s was not asked: name its context with --contexts", other)
			continue
		}
		w.filterAt(c)
	}
	w.sayLost()
}

func (w *walk) filterAt(c *Cluster) {
	id := w.client.ID()
	looked := "RemoteCluster " + string(id)
	rc := c.remote(id)
	if rc == nil {
		w.say(Failed, c.ID(), looked, "cluster %s does not know cluster %s, and drops what comes from it: is its operator in step with the hub?", c.ID(), id)
		return
	}
	for _, f := range w.findings(c.ID(), "RemoteCluster", "", string(id)) {
		if f.Condition != v1alpha1.ConditionContentAccepted {
			w.finding(worst([]topology.Finding{f}), f)
		}
	}
	for _, f := range w.findings(c.ID(), "GatewayNode", "", "") {
		w.finding(w.gatewayState(c, f), f)
	}
	approved := clusterset.Prefixes(rc.Spec.CIDRs)
	for _, a := range w.Client.Addresses {
		if !clusterset.Contains(approved, a) {
			w.say(Failed, c.ID(), looked, "cluster %s drops what comes from %s, which lies outside the CIDRs that cluster %s may use (%s): "+
				"add its network to Member.spec.cidrs on the hub", c.ID(), a, id, clusterset.JoinPrefixes(approved))
			return
		}
	}
	w.say(Good, c.ID(), looked, "sources in %s are admitted", clusterset.JoinPrefixes(approved))
}
